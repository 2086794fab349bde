"""The engine around the learners: groups of clients, the batch plan as tensors, the round's loop over steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from fedskew.config import SGD, Adam, Precision
from fedskew.protocols import Predictions, State
from fedskew.training.engine import CohortResult, LocalReport, one_thread
from fedskew.training.plan import ClientWork
from fedskew.training.precision import precision
from fedskew.training.resident.batches import batches, ranks, staged
from fedskew.training.resident.dropout import dropout_keys
from fedskew.training.resident.graphs import Graphs
from fedskew.training.resident.optimizers import Moments

WORTH_A_GRAPH = 4
"""Steps of the same shape in one round, from which capturing them pays."""


class Learner(Protocol):
    """How the gradients of R clients' batches are made.

    Attributes:
        rows: how many clients it takes at once.
        pads: whether a short batch may be filled up with images that do not count.
        dropouts: the number of dropout layers.
        frozen: bool [P], the weights that stay as the server sent them; None if there are none.
    """

    name: str
    rows: int
    pads: bool
    dropouts: int
    frozen: Tensor | None

    def gradients(
        self,
        weights: Tensor,
        buffers: Tensor,
        gradients: Tensor,
        images: Tensor,
        labels: Tensor,
        counts: Tensor,
        keys: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Writes the gradients of each client's mean loss, updates the buffers, and never waits for the device.

        Args:
            weights, buffers, gradients: float32 [R, P], [R, B], [R, P].
            images, labels: uint8 [R, b, channels, height, width] and int64 [R, b].
            counts: int64 [R]; how many of the b images count.
            keys: int64 [R, dropout layers, >= b], of the dropout masks.

        Returns:
            Sums of losses [R] and numbers of correct predictions [R], over the images that count.
        """

    def logits(self, weights: Tensor, buffers: Tensor, images: Tensor) -> Tensor:
        """[n, C] in evaluation mode, of weights [P] and buffers [B] on uint8 images [n, ...]."""


@dataclass
class _Group:
    """The tensors of one group of clients; they keep their place, because captured steps remember it.

    Attributes:
        start: float32 [P], what the server sent.
        positions, counts, keys: int64 [R, T, batch], [R, T], [R, T, dropout layers, batch]: the batch plan.
        clock: int64 [1], the step that is next.
        losses, hits: float64 and int64 [R], summed over steps.
    """

    start: Tensor
    weights: Tensor
    buffers: Tensor
    gradients: Tensor
    moments: Moments
    positions: Tensor
    counts: Tensor
    keys: Tensor
    clock: Tensor
    lr: Tensor
    losses: Tensor
    hits: Tensor


class ResidentEngine:
    """Trains cohorts and evaluates on one device, without leaving it inside a round.

    Args:
        images, labels: the population's, on the device.
        capture: whether steps become CUDA graphs, where the device is one.
    """

    workers = 1

    def __init__(
        self,
        learner: Learner,
        images: Tensor,
        labels: Tensor,
        settings: Adam | SGD,
        number_format: Precision = "float32",
        capture: bool = True,
    ) -> None:
        self.learner, self.name = learner, learner.name
        self.images, self.labels, self.settings = images, labels, settings
        self.precision, self.device = number_format, images.device
        self._capture = capture
        self._group: _Group | None = None
        self._graphs = Graphs(self.device, lambda: None, capture)

    def train(
        self,
        weights: Tensor,
        buffers: Tensor,
        work: Sequence[ClientWork],
        states: Mapping[int, State],
        lr_scale: float = 1.0,
    ) -> CohortResult:
        """The local training of a cohort; see ``Engine.train``."""
        order = ranks(work)
        deltas = weights.new_empty(len(work), len(weights))
        local_buffers = buffers.new_empty(len(work), len(buffers))
        kept: dict[int, State] = {}
        sums = torch.zeros(len(work), dtype=torch.float64, device=self.device)
        hits = torch.zeros(len(work), dtype=torch.int64, device=self.device)
        with one_thread(), precision(self.precision, self.device):
            for first in range(0, len(order), self.learner.rows):
                places = order[first : first + self.learner.rows]
                jobs = [work[i] for i in places]
                before = [states.get(job.client, {}) for job in jobs]
                group = self._train_group(weights, buffers, jobs, before, lr_scale)
                at, count = staged(torch.tensor(places), self.device), len(places)
                deltas[at] = group.weights[:count] - weights
                local_buffers[at] = group.buffers[:count]
                sums[at], hits[at] = group.losses[:count], group.hits[:count]
                for row, place in enumerate(places if self.settings.state == "persist" else ()):
                    kept[place] = group.moments.save(before[row], row, len(jobs[row].batches))
        reports = []
        for i, (loss, hit) in enumerate(zip(sums.tolist(), hits.tolist(), strict=True)):
            visits = sum(len(batch) for batch in work[i].batches)
            reports.append(LocalReport(loss / visits, hit / visits, kept.get(i, {})))
        return CohortResult(deltas, local_buffers, reports)

    def predict(
        self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor, chunk: int = 2500
    ) -> Predictions:
        """Predictions on uint8 images [n, ...], in float32, in chunks of a fixed size."""
        classes, losses = [], []
        with one_thread(), torch.no_grad(), precision("float32", self.device):
            for part, truth in zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True):
                logits = self.learner.logits(weights, buffers, part.to(self.device))
                target = truth.to(self.device)
                classes.append(logits.argmax(dim=1))
                losses.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
        return Predictions(torch.cat(classes).cpu(), torch.cat(losses).cpu())

    def _train_group(
        self,
        weights: Tensor,
        buffers: Tensor,
        jobs: Sequence[ClientWork],
        states: list[State],
        lr_scale: float,
    ) -> _Group:
        """All steps of one group; its tensors hold the outcome until the next."""
        steps = [len(job.batches) for job in jobs]
        widest = max(len(batch) for job in jobs for batch in job.batches)
        group = self._room((len(jobs), max(steps), widest), weights, buffers)
        todo = []
        for step in range(max(steps)):
            active = sum(count > step for count in steps)
            # Widths come from this round's work alone, not from the room there is, which depends on the past.
            todo.append((active, widest if self.learner.pads else len(jobs[0].batches[step])))
        for key, times in Counter(todo).items():
            if times >= WORTH_A_GRAPH:
                self._graphs.prepare(key, partial(self._step, group, *key))
        self._load(group, weights, buffers, jobs, states, lr_scale)
        for key in todo:
            self._graphs.run(key, partial(self._step, group, *key))
        return group

    def _step(self, group: _Group, active: int, width: int) -> None:
        """Step ``clock`` of the first ``active`` clients; only tensors on the device are read and written."""
        position = group.positions[:active].index_select(1, group.clock)[:, 0, :width]
        counts = group.counts[:active].index_select(1, group.clock)[:, 0]
        keys = group.keys[:active].index_select(1, group.clock)[:, 0]
        sums, hits = self.learner.gradients(
            group.weights[:active],
            group.buffers[:active],
            group.gradients[:active],
            self.images[position],
            self.labels[position],
            counts,
            keys,
        )
        with torch.no_grad():
            group.moments.step(group.weights[:active], group.gradients[:active], group.lr)
            if self.learner.frozen is not None:  # weight decay moves what has no gradient
                weights = group.weights[:active]
                weights.copy_(torch.where(self.learner.frozen, group.start, weights))
            group.losses[:active] += sums
            group.hits[:active] += hits
            group.clock += 1

    def _room(self, needed: tuple[int, int, int], weights: Tensor, buffers: Tensor) -> _Group:
        """Tensors for (clients, steps, batch); new ones, and new graphs, only if they do not fit into the old."""
        have = self._group
        there = tuple(have.positions.shape) if have is not None else (0, 0, 0)
        if have is not None and all(n <= t for n, t in zip(needed, there, strict=True)):
            return have
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # steps may still be on their way whose graphs go now
        rows, steps, batch = (max(n, t) for n, t in zip(needed, there, strict=True))

        def whole(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=self.device)

        group = _Group(
            start=weights.new_zeros(len(weights)),
            weights=weights.new_zeros(rows, len(weights)),
            buffers=buffers.new_zeros(rows, len(buffers)),
            gradients=weights.new_zeros(rows, len(weights)),
            moments=Moments(self.settings, rows, len(weights), self.device),
            positions=whole(rows, steps, batch),
            counts=whole(rows, steps),
            keys=whole(rows, steps, self.learner.dropouts, batch),
            clock=whole(1),
            lr=torch.zeros((), dtype=torch.float64, device=self.device),
            losses=torch.zeros(rows, dtype=torch.float64, device=self.device),
            hits=whole(rows),
        )
        self._group = group
        self._graphs = Graphs(self.device, group.clock.zero_, self._capture)
        return group

    def _load(
        self,
        group: _Group,
        weights: Tensor,
        buffers: Tensor,
        jobs: Sequence[ClientWork],
        states: list[State],
        lr_scale: float,
    ) -> None:
        """Puts the round's beginning into the group's tensors: one copy each."""
        count, steps, batch = len(jobs), group.positions.shape[1], group.positions.shape[2]
        plan = batches(jobs, steps, batch)
        group.positions[:count] = staged(plan.positions, self.device)
        group.counts[:count] = staged(plan.counts, self.device)
        # Once a round for all steps, rather than a hundred small operations in each of them.
        group.keys[:count] = dropout_keys(staged(plan.seeds, self.device), self.learner.dropouts, batch)
        group.start.copy_(weights)
        group.weights[:count] = weights
        group.buffers[:count] = buffers
        group.moments.load(states)
        group.lr.fill_(self.settings.lr * lr_scale)
        group.losses.zero_()
        group.hits.zero_()
        group.clock.zero_()
