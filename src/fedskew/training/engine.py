"""Local training: (global weights, batch plan) -> updates. Written once; the arithmetic is behind one function.

Clients are handed to ``workers`` threads, each with its own arithmetic. A client's result depends on its work
alone, so the number of workers changes nothing but the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

import torch
from torch import Tensor

from fedskew.config import SGD, Adam
from fedskew.protocols import Predictions, State
from fedskew.training.arithmetic import Arithmetic, step_seed
from fedskew.training.optimizers import make_step
from fedskew.training.plan import ClientWork


@dataclass(frozen=True)
class LocalReport:
    """What one client reports of its local training.

    Attributes:
        loss, accuracy: means over the sample visits of the round, as the client saw them while training.
        state: of its optimiser.
    """

    loss: float
    accuracy: float
    state: State


@dataclass(frozen=True)
class CohortResult:
    """What the local training of a cohort gave; row i belongs to the i-th client of the plan.

    Attributes:
        deltas: float32 [S, P], local minus global weights.
        buffers: float32 [S, B], the buffers after training.
        reports: one per client.
    """

    deltas: Tensor
    buffers: Tensor
    reports: list[LocalReport]


class LocalTrainer(Protocol):
    """The one interface of all engines: (global weights, batch plan) -> updates, and predictions.

    Attributes:
        name: as recorded with a run.
        workers: threads it uses.
    """

    name: str
    workers: int

    def train(
        self,
        weights: Tensor,
        buffers: Tensor,
        work: Sequence[ClientWork],
        states: Mapping[int, State],
        lr_scale: float = 1.0,
    ) -> CohortResult:
        """The local training of a cohort from weights [P] and buffers [B]; rows in the order of ``work``.

        Args:
            states: of the clients' optimisers, by client; one that is missing starts afresh. Not changed.
            lr_scale: factor of the configured learning rate.
        """

    def predict(
        self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor, chunk: int = 500
    ) -> Predictions:
        """Predictions on uint8 images [n, ...], on the CPU; in chunks of a fixed size, whatever does the work."""


def train_client(
    arithmetic: Arithmetic,
    weights: Tensor,
    buffers: Tensor,
    work: ClientWork,
    settings: Adam | SGD,
    lr_scale: float,
    state: State,
    delta: Tensor,
    local_buffers: Tensor,
) -> LocalReport:
    """One client's local epochs from the given global weights [P] and buffers [B].

    Args:
        delta, local_buffers: float32 [P] and [B], where the result is written.
        lr_scale: factor of the configured learning rate.
        state: the optimiser's state from the client's last round; empty to start fresh. Not changed.
    """
    local, gradient = weights.clone(), torch.zeros_like(weights)
    local_buffers.copy_(buffers)
    state = {name: tensor.clone() for name, tensor in state.items()}
    step = make_step(settings, state, lr_scale)
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    visits = 0
    for number, indices in enumerate(work.batches):
        seed = step_seed(work.seed, number)
        batch_loss, batch_correct = arithmetic.loss_and_gradient(
            local, local_buffers, gradient, indices, seed
        )
        step(local, gradient)
        if arithmetic.frozen is not None:  # weight decay moves what has no gradient
            torch.where(arithmetic.frozen, weights, local, out=local)
        loss, correct, visits = loss + batch_loss, correct + batch_correct, visits + len(indices)
    torch.sub(local, weights, out=delta)
    kept = state if settings.state == "persist" else {}  # what nobody will ask for is not held on to
    return LocalReport(loss=float(loss) / visits, accuracy=float(correct) / visits, state=kept)


class Engine:
    """Trains cohorts and evaluates, on one device.

    Args:
        make: makes one arithmetic; called once per worker.
        workers: threads; each keeps a model of its own.
    """

    def __init__(self, make: Callable[[], Arithmetic], settings: Adam | SGD, workers: int = 1) -> None:
        first = make()
        if getattr(first, "draws_elsewhere", False):
            workers = 1  # PyTorch's global generator cannot be shared by threads reproducibly
        self.name, self.settings, self.workers = first.name, settings, workers
        self._idle: SimpleQueue[Arithmetic] = SimpleQueue()
        for arithmetic in [first, *(make() for _ in range(workers - 1))]:
            self._idle.put(arithmetic)

    @contextmanager
    def _arithmetic(self) -> Iterator[Arithmetic]:
        arithmetic = self._idle.get()
        try:
            yield arithmetic
        finally:
            self._idle.put(arithmetic)

    def _map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        if self.workers == 1 or len(items) < 2:
            with one_thread():
                return [task(item) for item in items]
        with one_thread(), ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(task, items))

    def train(
        self,
        weights: Tensor,
        buffers: Tensor,
        work: Sequence[ClientWork],
        states: Mapping[int, State],
        lr_scale: float = 1.0,
    ) -> CohortResult:
        """The local training of a cohort, in the order of ``work``."""
        deltas = weights.new_empty(len(work), len(weights))
        local_buffers = buffers.new_empty(len(work), len(buffers))

        def one(row: int) -> LocalReport:
            job = work[row]
            state = states.get(job.client, {})
            with self._arithmetic() as arithmetic:
                return train_client(
                    arithmetic,
                    weights,
                    buffers,
                    job,
                    self.settings,
                    lr_scale,
                    state,
                    deltas[row],
                    local_buffers[row],
                )

        # The largest shards first, so that the last thread is not left alone with one.
        order = sorted(range(len(work)), key=lambda row: -work[row].num_examples)
        reports = dict(zip(order, self._map(one, order), strict=True))
        return CohortResult(deltas, local_buffers, [reports[row] for row in range(len(work))])

    def predict(
        self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor, chunk: int = 500
    ) -> Predictions:
        """Predictions on uint8 images [n, ...]; cut into chunks of a fixed size, whatever the number of workers."""

        def one(part: tuple[Tensor, Tensor]) -> Predictions:
            with self._arithmetic() as arithmetic:
                return arithmetic.predict(weights, buffers, *part)

        parts = self._map(one, list(zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True)))
        return Predictions(torch.cat([p.classes for p in parts]), torch.cat([p.losses for p in parts]))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread per operation inside the block: parallel sums depend on the number of threads, results must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
