"""What an engine is: (global weights, batch plan) -> updates, and predictions.

Local training is written once over the plan. Engines differ in how many clients they train at a time, and in the
arithmetic that makes the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fedskew.protocols import Predictions, State
from fedskew.training.plan import ClientWork


@dataclass(frozen=True)
class LocalReport:
    """What one client reports of its local training.

    Attributes:
        loss, accuracy: means over the sample visits of the round, as the client saw them while training.
        state: what it keeps for its next round: its optimiser's state if that persists, and under names that begin
            with ``Recipe.prefix`` what its objective keeps.
        uploads: what it sends to the server with its update, by name.
        steps: how many it took.
    """

    loss: float
    accuracy: float
    state: State
    uploads: State
    steps: int


@dataclass(frozen=True)
class CohortResult:
    """What the local training of a cohort gave; row i belongs to the i-th client of the plan.

    Attributes:
        deltas: float32 [S, P], local weights minus those that the client started from.
        buffers: float32 [S, B], the buffers after training.
        reports: one per client.
    """

    deltas: Tensor
    buffers: Tensor
    reports: list[LocalReport]


class Engine(Protocol):
    """Trains cohorts and evaluates, on one device.

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
    ) -> CohortResult:
        """The local training of a cohort from weights [P] and buffers [B]; rows in the order of ``work``.

        Args:
            weights: the global ones, for clients without their own start weights.
            states: what the clients kept (``LocalReport.state``), by client; one that is missing starts fresh. Not
                changed.
        """

    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        """Predictions on uint8 images [n, ...], on the CPU; in chunks of a fixed size."""


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread per operation inside the block: parallel sums would depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
