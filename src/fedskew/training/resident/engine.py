"""The engine around the arithmetics: groups of clients, the batch plan as tensors, the round's loop over steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fedskew.config import Precision
from fedskew.protocols import Predictions, State
from fedskew.training.engine import CohortResult, LocalReport, one_thread
from fedskew.training.plan import ClientWork
from fedskew.training.precision import precision
from fedskew.training.recipe import Recipe, closed, opened
from fedskew.training.resident.arithmetic import BatchedArithmetic
from fedskew.training.resident.batches import ranks, staged
from fedskew.training.resident.lanes import Lanes
from fedskew.training.resident.room import Kind, Room, kind_of

ROOMS = 4
"""Kinds of groups whose tensors and graphs are kept for later rounds, in each lane; honest clients are one, adversaries
another."""

LANES = 8
"""Groups that are trained beside each other on a card with enough memory (docs/performance.md)."""


@dataclass(frozen=True)
class Group:
    """Clients that are trained at once.

    Attributes:
        places: their positions in the round's work, those with the most steps first.
        alike: whether all clients of this recipe start from the same weights.
        sizes: what its room must hold: clients, steps and batch size, the most of any group of this recipe.
    """

    places: list[int]
    alike: bool
    sizes: tuple[int, int, int]


class ResidentEngine:
    """Trains cohorts and evaluates on one device, without leaving it inside a round; see ``Engine``.

    Args:
        images, labels: the population's, on the device.
        capture: whether steps become CUDA graphs, where the device is one.
        lanes: how many groups are trained beside each other, at most.
    """

    workers = 1

    def __init__(
        self,
        arithmetic: BatchedArithmetic,
        images: Tensor,
        labels: Tensor,
        number_format: Precision = "float32",
        capture: bool = True,
        lanes: int = LANES,
    ) -> None:
        self.arithmetic, self.name = arithmetic, arithmetic.name
        self.images, self.labels = images, labels
        self.precision, self.device = number_format, images.device
        self.capture = capture
        self._lanes = Lanes(self.device, lanes)
        self._rooms: dict[tuple[int, Kind], Room] = {}  # by lane and kind, the last used at the end

    @property
    def captured(self) -> int:
        """How many steps are captured as graphs."""
        return sum(len(room.graphs) for room in self._rooms.values())

    def train(
        self,
        weights: Tensor,
        buffers: Tensor,
        work: Sequence[ClientWork],
        states: Mapping[int, State],
    ) -> CohortResult:
        """See ``Engine``; clients of one recipe are trained together."""
        result = CohortResult(
            weights.new_empty(len(work), len(weights)),
            buffers.new_empty(len(work), len(buffers)),
            [],
        )
        sums = torch.zeros(len(work), dtype=torch.float64, device=self.device)
        hits = torch.zeros(len(work), dtype=torch.int64, device=self.device)
        ends: dict[int, tuple[State, State]] = {}
        with one_thread(), precision(self.precision, self.device), self._lanes.opened():
            for number, group in enumerate(self._groups(work)):
                lane = number % self._lanes.count
                with self._lanes.on(lane):
                    jobs = [work[i] for i in group.places]
                    recipe = jobs[0].recipe
                    before = [opened(recipe, states.get(job.client, {}), len(weights)) for job in jobs]
                    room = self._train_group(weights, buffers, jobs, before, group, lane)
                    at, count = staged(torch.tensor(group.places), self.device), len(jobs)
                    result.deltas[at] = room.weights[:count] - room.starts(count)
                    result.buffers[at] = room.buffers[:count]
                    sums[at], hits[at] = room.losses[:count], room.hits[:count]
                    for row, place in enumerate(group.places):
                        ends[place] = _end(room, row, jobs[row], before[row][0], result.deltas[place])
                if number == 0 and self._lanes.count == 1:
                    self._lanes.measure()
        for i, (loss, hit) in enumerate(zip(sums.tolist(), hits.tolist(), strict=True)):
            visits, steps = sum(len(batch) for batch in work[i].batches), len(work[i].batches)
            result.reports.append(LocalReport(loss / visits, hit / visits, *ends[i], steps))
        return result

    def predict(
        self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor, chunk: int = 2500
    ) -> Predictions:
        """See ``Engine``; in float32."""
        if not len(images):
            return Predictions(torch.zeros(0, dtype=torch.int64), torch.zeros(0))
        classes, losses = [], []
        with one_thread(), torch.no_grad(), precision("float32", self.device):
            for part, truth in zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True):
                logits = self.arithmetic.logits(weights, buffers, part.to(self.device))
                target = truth.to(self.device)
                classes.append(logits.argmax(dim=1))
                losses.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
        return Predictions(torch.cat(classes).cpu(), torch.cat(losses).cpu())

    def _groups(self, work: Sequence[ClientWork]) -> list[Group]:
        """The work in the order in which it is done."""
        by_recipe: dict[Recipe, list[int]] = {}
        for place in ranks(work):
            by_recipe.setdefault(work[place].recipe, []).append(place)
        groups = []
        for places in by_recipe.values():
            alike = len({id(work[i].start) for i in places}) == 1
            widest = _widest([work[i] for i in places])
            rows = self.arithmetic.rows(widest)
            sizes = min(rows, len(places)), len(work[places[0]].batches), widest
            groups += [
                Group(places[first : first + rows], alike, sizes) for first in range(0, len(places), rows)
            ]
        return groups

    def _train_group(
        self,
        weights: Tensor,
        buffers: Tensor,
        jobs: Sequence[ClientWork],
        states: Sequence[tuple[State, State]],
        group: Group,
        lane: int = 0,
    ) -> Room:
        """All steps of one group; its room holds the outcome until the next group of its kind in its lane."""
        steps, widest = [len(job.batches) for job in jobs], _widest(jobs)
        kind = kind_of(jobs[0], group.alike, states[0][1])
        room = self._room(lane, kind, group.sizes, len(weights), len(buffers))
        todo = []
        for step in range(max(steps)):
            active = sum(count > step for count in steps)
            # Widths come from this round's work alone, not from the existing room, which depends on the past.
            todo.append((active, widest if self.arithmetic.pads else len(jobs[0].batches[step])))
        for key, times in Counter(todo).items():
            room.graphs.prepare(key, partial(self._step, room, *key), times)
        room.load(weights, buffers, jobs, states)
        for key in todo:
            room.graphs.run(key, partial(self._step, room, *key))
        room.check(weights, jobs)
        return room

    def _step(self, room: Room, active: int, width: int) -> None:
        """Step ``clock`` of the first ``active`` clients; only tensors on the device are read and written."""
        position = room.positions[:active].index_select(1, room.clock)[:, 0, :width]
        counts = room.counts[:active].index_select(1, room.clock)[:, 0]
        keys = room.keys[:active].index_select(1, room.clock)[:, 0]
        images, labels = self.images[position], self.labels[position]
        maps = None if room.maps is None else room.maps[:active]

        def gradients(weights: Tensor, buffers: Tensor) -> tuple[Tensor, Tensor]:
            return self.arithmetic.gradients(
                weights, buffers, room.gradients[:active], images, labels, counts, keys, maps
            )

        sums, hits = gradients(room.weights[:active], room.buffers[:active])
        with torch.no_grad():
            there = room.look(active)
        if there is not None:
            # What a module notes of its inputs it has noted already.
            gradients(there, room.buffers[:active].clone())
        with torch.no_grad():
            room.step(active, self.arithmetic.frozen)
            room.losses[:active] += sums
            room.hits[:active] += hits
            room.clock += 1

    def _room(
        self, lane: int, kind: Kind, needed: tuple[int, int, int], parameters: int, buffers: int
    ) -> Room:
        """Room for (clients, steps, batch); a new one, with new graphs, only if they do not fit into the old."""
        have = self._rooms.pop((lane, kind), None)
        there = (0, 0, 0) if have is None else have.sizes
        if have is not None and all(n <= t for n, t in zip(needed, there, strict=True)):
            self._rooms[lane, kind] = have
            return have
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # steps whose graphs are freed now may still be running
        rows, steps, batch = (max(n, t) for n, t in zip(needed, there, strict=True))
        room = Room(
            kind,
            (rows, steps, batch),
            parameters,
            buffers,
            self.arithmetic.dropouts,
            self.device,
            self.capture,
        )
        self._rooms[lane, kind] = room
        of_lane = [key for key in self._rooms if key[0] == lane]
        for old in of_lane[:-ROOMS]:
            del self._rooms[old]
        return room


def _widest(jobs: Sequence[ClientWork]) -> int:
    return max(len(batch) for job in jobs for batch in job.batches)


def _end(room: Room, row: int, job: ClientWork, before: State, delta: Tensor) -> tuple[State, State]:
    """The state of the client in a row of the room, and what it uploads; ``before`` is its optimiser's old state."""
    recipe, steps = job.recipe, len(job.batches)
    optimizer = room.moments.save(before, row, steps) if recipe.optimizer.state == "persist" else {}
    kept = {name: tensor[row].clone() for name, tensor in room.kept.items()}
    start = room.start if room.alike else room.start[row]
    return closed(recipe, optimizer, kept, start, delta, job.batches)
