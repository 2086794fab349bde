"""Two local objectives of an adversary as one: the second changes what the first has made of a gradient or weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State

PREFIXES = ("first.", "second.")
"""Of the names of what a client keeps for each."""

Part = Callable[[Tensor, LocalView], Any]


def joined(first: LocalObjective | None, second: LocalObjective) -> LocalObjective:
    """An objective that does what both do, in this order; each sees only what it keeps itself.

    Of an attack's objectives the parts on the server are never asked, so the joined one has none.

    Raises:
        ConfigError: both have ``logits``, or both have ``look``: training takes one loss, of one gradient.
    """
    if first is None:
        return second
    both = first, second
    parts: dict[str, Any] = {
        "logits": _either("logits", first.logits, second.logits),
        "look": _either("look", *_each_its_own(first.look, second.look)),
        "add": _in_turn(first.add, second.add),
        "project": _in_turn(first.project, second.project),
    }
    if first.keeps or second.keeps:

        def init(parameters: int) -> State:
            return _merged(tuple(objective.init(parameters) for objective in both))

        parts["init"] = init
    plain = LocalObjective.finish
    if first.keeps or second.keeps or (first.finish, second.finish) != (plain, plain):

        def finish(result: LocalResult) -> tuple[State, State]:
            done = [
                objective.finish(replace(result, kept=_own(result.kept, prefix)))
                for objective, prefix in zip(both, PREFIXES, strict=True)
            ]
            return _merged((done[0][0], done[1][0])), {**done[0][1], **done[1][1]}

        parts["finish"] = finish
    return LocalObjective(**parts)


def _in_turn(first: Part | None, second: Part | None) -> Part | None:
    parts = [part for part in _each_its_own(first, second) if part is not None]
    if not parts:
        return None

    def both(target: Tensor, view: LocalView) -> None:
        for part in parts:
            part(target, view)

    return both


def _either(name: str, first: Any, second: Any) -> Any:
    if first is not None and second is not None:
        raise ConfigError(
            f"the objectives of an attack and of the one around it both have {name!r}, and training takes only one",
            f"leave out {name!r} in one of them, or do both in one objective",
        )
    return second if first is None else first


def _each_its_own(*parts: Part | None) -> list[Part | None]:
    """Parts that see, and change, only what their own objective keeps."""

    def alone(part: Part, prefix: str) -> Part:
        def seeing_its_own(target: Tensor, view: LocalView) -> Any:
            own = replace(view, kept=_own(view.kept, prefix))
            found = part(target, own)
            # What a part keeps it may also have put there as a new tensor.
            view.kept.update({prefix + name: tensor for name, tensor in own.kept.items()})
            return found

        return seeing_its_own

    return [
        None if part is None else alone(part, prefix) for part, prefix in zip(parts, PREFIXES, strict=True)
    ]


def _own(kept: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in kept.items() if name.startswith(prefix)}


def _merged(states: tuple[State, ...]) -> State:
    return {
        prefix + name: tensor
        for prefix, state in zip(PREFIXES, states, strict=True)
        for name, tensor in state.items()
    }
