"""The tensors of a group of clients that train alike; their addresses stay fixed, because captured steps use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedskew.components.returned import changed_in_place
from fedskew.protocols import LocalObjective, LocalView, State
from fedskew.training.plan import ClientWork
from fedskew.training.recipe import ask, looked_at
from fedskew.training.resident.batches import batches, staged
from fedskew.training.resident.dropout import dropout_keys
from fedskew.training.resident.graphs import Graphs
from fedskew.training.resident.optimizers import Moments

Kind = tuple[Any, ...]
"""What a captured step has built in; a room serves the groups of one kind."""


def kind_of(job: ClientWork, alike: bool, kept: State) -> Kind:
    """The kind of a group's steps.

    Args:
        job: of one of its clients.
        alike: whether all start from the same weights.
        kept: what this client keeps for the objective.
    """
    recipe, mapped = job.recipe, None if job.logit_map is None else job.logit_map.shape
    return recipe.optimizer, recipe.objective, recipe.name, alike, _layout(kept), _layout(recipe.sent), mapped


def _layout(state: Mapping[str, Tensor]) -> tuple[tuple[str, torch.Size, torch.dtype], ...]:
    return tuple((name, tensor.shape, tensor.dtype) for name, tensor in sorted(state.items()))


class Room:
    """Room for R clients, T steps and a batch size.

    Args:
        kind: of the groups it serves.
        sizes: R, T and the batch size.
        parameters, buffers: P and B.
        dropouts: the number of dropout layers.
        capture: whether steps become CUDA graphs, where the device is one.

    Attributes:
        start: float32 [P] where all clients start alike, else [R, P].
        weights, buffers, gradients: float32 [R, P], [R, B], [R, P].
        kept, sent: the tensors of the objective; those kept have a leading axis of R.
        maps: float32 [R, 2, C], of the logits; None where they are taken as they are.
        positions, counts, keys: int64 [R, T, batch], [R, T], [R, T, dropout layers, batch]: the batch plan.
        clock: int64 [1], the next step.
        lr: float64, without dimensions.
        losses, hits: float64 and int64 [R], summed over steps.
    """

    objective: LocalObjective

    def __init__(
        self,
        kind: Kind,
        sizes: tuple[int, int, int],
        parameters: int,
        buffers: int,
        dropouts: int,
        device: torch.device,
        capture: bool,
    ) -> None:
        self.kind, self.sizes, self.device, self.dropouts = kind, sizes, device, dropouts
        optimizer, self.objective, self.name, self.alike, kept, sent, mapped = kind
        rows, steps, batch = sizes

        def real(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        def whole(*shape: int) -> Tensor:
            return real(*shape, dtype=torch.int64)

        self.start = real(parameters) if self.alike else real(rows, parameters)
        self.weights, self.gradients = real(rows, parameters), real(rows, parameters)
        self.buffers = real(rows, buffers)
        self.moments = Moments(optimizer, rows, parameters, device)
        self.kept = {name: real(rows, *shape, dtype=dtype) for name, shape, dtype in kept}
        self.sent = {name: real(*shape, dtype=dtype) for name, shape, dtype in sent}
        self.maps = None if mapped is None else real(rows, *mapped)
        self.positions, self.counts = whole(rows, steps, batch), whole(rows, steps)
        self.keys = whole(rows, steps, dropouts, batch)
        self.clock = whole(1)
        self.lr = real(dtype=torch.float64)
        self.losses, self.hits = real(rows, dtype=torch.float64), whole(rows)
        self.graphs = Graphs(device, self.clock.zero_, capture)

    def load(
        self,
        weights: Tensor,
        buffers: Tensor,
        jobs: Sequence[ClientWork],
        states: Sequence[tuple[State, State]],
    ) -> None:
        """Puts the start of a round into the tensors: one copy each.

        Args:
            states: of each client's optimiser, and what it keeps for the objective.
        """
        count, (_, steps, batch), recipe = len(jobs), self.sizes, jobs[0].recipe
        plan = batches(jobs, steps, batch)
        self.positions[:count] = staged(plan.positions, self.device)
        self.counts[:count] = staged(plan.counts, self.device)
        # Once a round for all steps, rather than a hundred small operations in each of them.
        self.keys[:count] = dropout_keys(staged(plan.seeds, self.device), self.dropouts, batch)
        starts = [weights if job.start is None else job.start for job in jobs]
        for place, start in zip([self.start] if self.alike else self.start[:count], starts, strict=False):
            place.copy_(start)
        self.weights[:count] = self.starts(count)
        self.buffers[:count] = buffers
        for row, job in zip(self.buffers, jobs, strict=False):
            if job.buffers is not None:
                row.copy_(job.buffers)
        self.moments.load([optimizer for optimizer, _ in states])
        for name, rows in self.kept.items():
            for row, (_, kept) in zip(rows, states, strict=False):
                row.copy_(kept[name], non_blocking=True)
        for name, tensor in self.sent.items():
            tensor.copy_(recipe.sent[name])
        for job, row in zip(jobs, () if self.maps is None else self.maps, strict=False):
            row.copy_(job.logit_map)
        self.lr.fill_(recipe.lr)
        self.losses.zero_()
        self.hits.zero_()
        self.clock.zero_()

    def check(self, weights: Tensor, jobs: Sequence[ClientWork]) -> None:
        """Refuses an objective that has changed what the clients of the room share, also behind PyTorch's back, which
        ``ask`` cannot see: an update would be measured from another start.

        Raises:
            ConfigError: names it.
        """
        recipe = jobs[0].recipe
        if not recipe.acts:
            return
        starts = [weights if job.start is None else job.start for job in jobs]
        shared = [*zip([self.start] if self.alike else self.start, starts, strict=False)]
        shared += [(tensor, recipe.sent[name]) for name, tensor in self.sent.items()]
        for here, given in shared:
            # What was sent may have NaNs, which are not equal to themselves.
            if not torch.equal(here.nan_to_num(), given.to(here).nan_to_num()):
                raise changed_in_place(f"objective {self.name!r}")

    def starts(self, count: int) -> Tensor:
        """What the first clients started from: [P] where all start alike, else [count, P]."""
        return self.start if self.alike else self.start[:count]

    def step(self, active: int, frozen: Tensor | None) -> None:
        """One step of the first clients, their gradients given: objective, optimiser, frozen weights, projection.

        Args:
            frozen: bool [P], the weights that stay as they started.
        """
        weights, gradients = self.weights[:active], self.gradients[:active]
        if self.objective.add is not None:
            self._ask(self.objective.add, gradients, active)
        self.moments.step(weights, gradients, self.lr)
        self._restore(weights, frozen)
        if self.objective.project is not None:
            self._ask(self.objective.project, weights, active)
            self._restore(weights, frozen)

    def _restore(self, weights: Tensor, frozen: Tensor | None) -> None:
        if frozen is not None:  # weight decay moves what has no gradient
            weights.copy_(torch.where(frozen, self.starts(len(weights)), weights))

    def look(self, active: int) -> Tensor | None:
        """Where the objective wants the first clients' gradients to be taken, [active, P]; None: where they are."""
        if self.objective.look is None:
            return None
        view = self._view(active)
        with torch.autocast(self.device.type, enabled=False):
            there = looked_at(self.name, self.objective.look, self.gradients[:active], view)
        self._keep(view)
        return there

    def _ask(self, part: Callable[[Tensor, LocalView], None], target: Tensor, active: int) -> None:
        """Lets the objective change ``target``; what it keeps it changes in place or by putting a tensor there."""
        view = self._view(active)
        with torch.autocast(self.device.type, enabled=False):  # coarse products are for the model only
            ask(self.name, part, target, view)
        self._keep(view)

    def _view(self, active: int) -> LocalView:
        kept = {name: tensor[:active] for name, tensor in self.kept.items()}
        return LocalView(self.weights[:active], self.starts(active), dict(self.sent), kept, self.lr)

    def _keep(self, view: LocalView) -> None:
        for name, tensor in view.kept.items():
            rows = self.kept[name][: len(tensor)]
            if tensor.data_ptr() != rows.data_ptr():
                rows.copy_(tensor)
