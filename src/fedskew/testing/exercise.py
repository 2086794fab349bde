"""Runs a component for some rounds and checks what holds for every kind of component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from safetensors.torch import load, save
from torch import Tensor

from fedskew.components.randomness import global_states
from fedskew.errors import FedskewError
from fedskew.protocols import State, no_state
from fedskew.testing.leaves import fingerprint, versions
from fedskew.testing.randomness import globally_seeded
from fedskew.testing.subject import Subject

Inputs: TypeAlias = Mapping[str, Any]
"""What a component is called with in one round, by name, in order."""
Make: TypeAlias = Callable[[], Inputs]
"""() -> the inputs of a round: the same each time, and new objects each time."""


@dataclass(frozen=True)
class Rule:
    """A component of any kind as a rule with state: apply(*inputs, state) -> (outcome, state)."""

    apply: Callable[..., tuple[Any, State]]
    init: Callable[[], State] = no_state


def stateless(function: Callable[..., Any]) -> Rule:
    """A plain function as a rule."""
    return Rule(lambda *inputs: (function(*inputs[:-1]), inputs[-1]))


def exercise(subject: Subject, wrap: Callable[[Any], Rule], rounds: Sequence[Make]) -> list[Any]:
    """The outcome of each round.

    Args:
        wrap: what ``subject.build`` gives -> the rule; it checks what the component returns.

    Raises:
        ConformanceError: an input or the state was changed in place, a global random state was used, another setting
            of the process was left, the same rounds gave something else the second time, or rounds that start from a
            saved state did.
    """
    rule = wrap(subject.build())
    outcomes, expected = _run(subject, lambda: rule, rounds, 1, _copied)
    if _run(subject, lambda: rule, rounds, 2, _copied)[1] != expected:
        subject.fail(
            "gave another result for the same input: it keeps something from call to call that is not in its state, "
            "or draws from something other than its rng"
        )
    if _run(subject, lambda: wrap(subject.build()), rounds, 3, _saved)[1] != expected:
        subject.fail(
            "gave another result from a saved state than without a break: all that it keeps must be in its state"
        )
    return outcomes


def limiting_case(subject: Subject, wrap: Callable[[Any], Rule], make: Make, case: str) -> list[Any] | None:
    """``exercise`` for one round of a case that a component may refuse; None if it does.

    Raises:
        ConformanceError: as ``exercise``, or the component raised anything but a ConfigError.
    """
    try:
        return exercise(subject, wrap, [make])
    except FedskewError:
        return None
    except AssertionError:
        raise
    except Exception as error:
        subject.fail(
            f"failed on {case}: {type(error).__name__}: {error}; raise a FedskewError that says why it cannot"
        )


def _run(
    subject: Subject, rule_of: Callable[[], Rule], rounds: Sequence[Make], seed: int, carry: Any
) -> tuple[list[Any], list[dict[str, str]]]:
    """All rounds under other global random states; each round's outcome and its bits."""
    outcomes, found, state = [], [], None
    with subject.settings_kept(), globally_seeded(seed):
        before = global_states()
        for make in rounds:
            rule = rule_of()
            state = rule.init() if state is None else carry(state)
            outcome, state = _watched(subject, rule, make(), _checked_state(subject, state))
            _checked_state(subject, state)
            subject.used_no_randomness_since(before)
            outcomes.append(outcome)
            found.append(fingerprint(outcome))
    return outcomes, found


def _watched(subject: Subject, rule: Rule, inputs: Inputs, state: State) -> tuple[Any, State]:
    watched = {**inputs, "state": state}
    content, changes = fingerprint(watched), versions(watched)
    outcome = rule.apply(*watched.values())
    after = fingerprint(watched)
    changed = [path for path in content if after.get(path) != content[path]]
    changed += [path for path, version in versions(watched).items() if version != changes.get(path, version)]
    if changed:
        subject.fail(f"changed {changed[0]} in place; it must work on a copy")
    return outcome


def _checked_state(subject: Subject, state: object) -> State:
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        subject.fail("must keep its state as tensors by name: {name: tensor}")
    return state


def _copied(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def _saved(state: State) -> State:
    """As it comes back from a checkpoint."""
    return load(save({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}))
