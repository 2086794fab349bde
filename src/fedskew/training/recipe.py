"""How a client trains (not on which images): optimiser, learning rate, objective, and what it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from fedskew.config import SGD, Adam
from fedskew.errors import ConfigError
from fedskew.protocols import LocalObjective, LocalResult, State

KEPT = "objective."
"""What a client keeps for its objective is stored with its optimiser's state, under names that begin with this."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What the clients that train alike have in common.

    Attributes:
        optimizer: its settings.
        lr_scale: factor of the configured learning rate, from the schedule.
        objective: what they minimise in addition to their loss.
        sent: what the server sent for it, on the device.
    """

    optimizer: Adam | SGD
    lr_scale: float = 1.0
    objective: LocalObjective = field(default_factory=LocalObjective)
    sent: State = field(default_factory=dict)

    @property
    def lr(self) -> float:
        """The learning rate of each step."""
        return self.optimizer.lr * self.lr_scale

    @property
    def acts(self) -> bool:
        """Whether the objective does anything in a step."""
        return self.objective.add is not None or self.objective.project is not None


def opened(recipe: Recipe, state: State, parameters: int) -> tuple[State, State]:
    """Takes a client's state apart; the tensors are the caller's own.

    Args:
        state: what it kept of its last round; empty at the start.
        parameters: P.

    Returns:
        The optimiser's state, and what the client keeps for its objective.
    """
    optimizer = {name: tensor for name, tensor in state.items() if not name.startswith(KEPT)}
    if not recipe.objective.keeps:
        return optimizer, {}
    kept = {name.removeprefix(KEPT): tensor for name, tensor in state.items() if name.startswith(KEPT)}
    return optimizer, kept or recipe.objective.init(parameters)


def closed(recipe: Recipe, optimizer: State, kept: State, delta: Tensor, steps: int) -> tuple[State, State]:
    """Puts a client's state together after its last step.

    Args:
        optimizer: the optimiser's state, which is kept only if the recipe says so.
        kept: the client's own; the objective may change it.
        delta: float32 [P], local minus start weights.

    Returns:
        The client's state, and what it uploads.

    Raises:
        ConfigError: ``finish`` does not keep tensors as ``init`` made them.
    """
    state = dict(optimizer) if recipe.optimizer.state == "persist" else {}
    objective = recipe.objective
    if not objective.keeps and objective.finish is LocalObjective.finish:
        return state, {}
    begun = _shapes(kept)
    # Copies, because the objective must not change the update or what was sent.
    result = LocalResult(delta.clone(), steps, recipe.lr, copied(recipe.sent), kept)
    kept, uploads = objective.finish(result)
    if _shapes(kept) != begun:
        raise ConfigError(
            f"local objective: finish returned {_shapes(kept)} for the client to keep, init returned {begun}; "
            "a client keeps tensors of the same names and shapes from round to round"
        )
    return state | {KEPT + name: tensor for name, tensor in kept.items()}, uploads


def copied(state: Mapping[str, Tensor]) -> State:
    """Copies of the tensors."""
    return {name: tensor.clone() for name, tensor in state.items()}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in sorted(state.items())}
