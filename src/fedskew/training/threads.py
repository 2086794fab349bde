"""The engine that trains one client at a time, in each of its threads.

Clients are handed to ``workers`` threads, each with its own arithmetic. A client's result depends on its work
alone, so the number of workers changes only the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from fedskew.protocols import LocalView, Predictions, State
from fedskew.training.arithmetic import Arithmetic, step_seed
from fedskew.training.engine import CohortResult, LocalReport, one_thread
from fedskew.training.optimizers import Step
from fedskew.training.plan import ClientWork
from fedskew.training.recipe import Recipe, ask, closed, copied, looked_at, opened


def train_client(
    arithmetic: Arithmetic,
    weights: Tensor,
    buffers: Tensor,
    work: ClientWork,
    state: State,
    delta: Tensor,
    local_buffers: Tensor,
) -> LocalReport:
    """One client's local epochs from the given global weights [P] and buffers [B].

    Args:
        delta, local_buffers: float32 [P] and [B], where the result is written.
        state: what the client kept of its last round; empty to start fresh. Not changed.
    """
    recipe = work.recipe
    start = weights if work.start is None else work.start.to(weights.device)
    local, gradient = start.clone(), torch.zeros_like(start)
    local_buffers.copy_(buffers if work.buffers is None else work.buffers)
    optimizer, kept = (copied(part) for part in opened(recipe, state, len(start)))
    kept = {name: tensor.to(start.device) for name, tensor in kept.items()}
    logit_map = None if work.logit_map is None else work.logit_map.to(start.device)
    # Copies of the client's own: other threads ask at the same time whether theirs were changed.
    begun, sent = (start.clone(), copied(recipe.sent)) if recipe.acts else (start, recipe.sent)

    def view() -> LocalView:
        return LocalView(local, begun, dict(sent), kept, recipe.lr)

    step = _with_objective(
        arithmetic.make_step(recipe.optimizer, recipe.lr, optimizer), recipe, arithmetic.frozen, start, view
    )
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    visits = 0
    for number, indices in enumerate(work.batches):
        seed = step_seed(work.seed, number)
        batch_loss, batch_correct = arithmetic.loss_and_gradient(
            local, local_buffers, gradient, indices, seed, logit_map
        )
        if recipe.objective.look is not None:
            there = looked_at(recipe.name, recipe.objective.look, gradient, view())
            # What a module notes of its inputs it has noted already.
            arithmetic.loss_and_gradient(there, local_buffers.clone(), gradient, indices, seed, logit_map)
        step(local, gradient)
        loss, correct, visits = loss + batch_loss, correct + batch_correct, visits + indices.numel()
    torch.sub(local, start, out=delta)
    state, uploads = closed(recipe, optimizer, kept, start, delta, work.batches)
    return LocalReport(float(loss) / visits, float(correct) / visits, state, uploads, len(work.batches))


def _with_objective(
    step: Step, recipe: Recipe, frozen: Tensor | None, start: Tensor, view: Callable[[], LocalView]
) -> Step:
    """A step in the order of all engines: the objective's gradient, optimiser, frozen weights, projection."""

    def restore(weights: Tensor) -> None:
        if frozen is not None:  # weight decay moves what has no gradient
            torch.where(frozen, start, weights, out=weights)

    def plain(weights: Tensor, gradient: Tensor) -> None:
        step(weights, gradient)
        restore(weights)

    add, project = recipe.objective.add, recipe.objective.project
    if add is None and project is None:
        return step if frozen is None else plain

    def whole(weights: Tensor, gradient: Tensor) -> None:
        if add is not None:
            ask(recipe.name, add, gradient, view())
        plain(weights, gradient)
        if project is not None:
            ask(recipe.name, project, weights, view())
            restore(weights)

    return whole


class ThreadedEngine:
    """Trains cohorts and evaluates, on one device; see ``Engine``.

    Args:
        make: makes one arithmetic; called once per worker.
        workers: threads; each has its own model.
    """

    def __init__(self, make: Callable[[], Arithmetic], workers: int = 1) -> None:
        first = make()
        if getattr(first, "draws_elsewhere", False):
            workers = 1  # PyTorch's global generator cannot be shared by threads reproducibly
        self.name, self.workers = first.name, workers
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
    ) -> CohortResult:
        """See ``Engine``."""
        deltas = weights.new_empty(len(work), len(weights))
        local_buffers = buffers.new_empty(len(work), len(buffers))

        def one(row: int) -> LocalReport:
            state = states.get(work[row].client, {})
            with self._arithmetic() as arithmetic:
                return train_client(
                    arithmetic, weights, buffers, work[row], state, deltas[row], local_buffers[row]
                )

        # The largest shards first, so that no thread works on one alone at the end.
        order = sorted(range(len(work)), key=lambda row: -work[row].num_examples)
        reports = dict(zip(order, self._map(one, order), strict=True))
        return CohortResult(deltas, local_buffers, [reports[row] for row in range(len(work))])

    def predict(
        self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor, chunk: int = 500
    ) -> Predictions:
        """See ``Engine``; cut into chunks of a fixed size for any number of workers."""

        def one(part: tuple[Tensor, Tensor]) -> Predictions:
            with self._arithmetic() as arithmetic:
                return arithmetic.predict(weights, buffers, *part)

        parts = self._map(one, list(zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True)))
        return Predictions(torch.cat([p.classes for p in parts]), torch.cat([p.losses for p in parts]))
