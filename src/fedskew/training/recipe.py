"""How a client trains (not on which images): optimiser, learning rate, objective, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from fedskew.components.returned import checked_finish, checked_state, same_shape, unchanged
from fedskew.config import SGD, Adam
from fedskew.errors import ConfigError
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State

KEPT = "objective."
"""What a client keeps for its objective is stored with its optimiser's state, under names that begin with this."""

ATTACK_KEPT = "attack."
"""The same for the objective of an attack: an adversary that acts in some rounds only keeps both, side by side."""


PERSONAL = "personal."
"""The same for a client's personal model and all that its training keeps (``federation.personal``)."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What the clients that train alike have in common.

    Attributes:
        optimizer: its settings.
        lr_scale: factor of the configured learning rate, from the schedule.
        objective: what they minimise in addition to their loss.
        sent: what the server sent for it, on the device.
        name: the objective's, for errors.
        prefix: of the names of what clients keep for the objective, ``KEPT`` or ``ATTACK_KEPT``.
    """

    optimizer: Adam | SGD
    lr_scale: float = 1.0
    objective: LocalObjective = field(default_factory=LocalObjective)
    sent: State = field(default_factory=dict)
    name: str = "objective"
    prefix: str = KEPT

    @property
    def lr(self) -> float:
        """The learning rate of each step."""
        return self.optimizer.lr * self.lr_scale

    @property
    def acts(self) -> bool:
        """Whether the objective does anything to a gradient or to weights."""
        objective = self.objective
        return any(part is not None for part in (objective.look, objective.add, objective.project))


def ask(name: str, part: Callable[[Tensor, LocalView], None], target: Tensor, view: LocalView) -> None:
    """Lets an objective change a gradient or weights, and what the client keeps.

    Args:
        name: the objective's.
        part: its ``add`` or ``project``.

    Raises:
        ConfigError: it changed something else: the start weights, from which the update is measured, what the server
            sent, or the weights while it is asked for the gradient.
    """
    given = [view.start, *view.sent.values()]
    if target.data_ptr() != view.weights.data_ptr():
        given.append(view.weights)
    with unchanged(f"objective {name!r}", *given):
        part(target, view)


def looked_at(
    name: str, look: Callable[[Tensor, LocalView], Tensor], gradient: Tensor, view: LocalView
) -> Tensor:
    """Where an objective wants the gradient to be taken: new weights in the shape of the gradient.

    Raises:
        ConfigError: it returned something else, or changed what it was given.
    """
    who = f"objective {name!r}"
    with unchanged(who, gradient, view.weights, view.start, *view.sent.values()):
        return same_shape(f"{who}: look", look(gradient, view), gradient)


def first_kept(name: str, objective: LocalObjective, parameters: int) -> State:
    """What a client keeps for an objective before its first round.

    Raises:
        ConfigError: it is not tensors by name.
    """
    return checked_state(f"objective {name!r}: init", objective.init(parameters))


def opened(recipe: Recipe, state: State, parameters: int) -> tuple[State, State]:
    """Takes a client's state apart; the tensors are the caller's own.

    Args:
        state: what it kept of its last round; empty at the start.
        parameters: P.

    Returns:
        The optimiser's state, and what the client keeps for its objective.
    """
    optimizer = {n: t for n, t in state.items() if not n.startswith((KEPT, ATTACK_KEPT, PERSONAL))}
    if not recipe.objective.keeps:
        return optimizer, {}
    prefix = recipe.prefix
    kept = {n.removeprefix(prefix): tensor for n, tensor in state.items() if n.startswith(prefix)}
    return optimizer, kept or first_kept(recipe.name, recipe.objective, parameters)


def closed(
    recipe: Recipe, optimizer: State, kept: State, start: Tensor, delta: Tensor, batches: Sequence[Tensor]
) -> tuple[State, State]:
    """Puts a client's state together after its last step.

    Args:
        optimizer: the optimiser's state, which is kept only if the recipe says so.
        kept: the client's own; the objective may change it.
        start, delta: float32 [P], the start weights, and local minus start weights.
        batches: the images of each step.

    Returns:
        The client's state, without what it keeps under the other prefix, and what it uploads.

    Raises:
        ConfigError: ``finish`` does not return tensors by name, or does not keep them as ``init`` made them.
    """
    state = dict(optimizer) if recipe.optimizer.state == "persist" else {}
    objective = recipe.objective
    if not objective.keeps and not objective.uploads:
        return state, {}
    begun = _shapes(kept)
    # Copies, because the objective must not change the update, where it started or what was sent.
    result = LocalResult(
        delta.clone(),
        len(batches),
        recipe.lr,
        copied(recipe.sent),
        kept,
        start.clone(),
        sum(len(batch) for batch in batches),
    )
    kept, uploads = checked_finish(recipe.name, objective.finish(result))
    if _shapes(kept) != begun:
        raise ConfigError(
            f"objective {recipe.name!r}: finish returned {_shapes(kept)} for the client to keep, "
            f"init returned {begun}; a client keeps tensors of the same names and shapes from round to round"
        )
    return state | {recipe.prefix + name: tensor for name, tensor in kept.items()}, uploads


def copied(state: Mapping[str, Tensor]) -> State:
    """Copies of the tensors."""
    return {name: tensor.clone() for name, tensor in state.items()}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in sorted(state.items())}
