"""An attack around another one that changes how the adversaries train needs adversaries who send what they trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedskew.components.known import facts_of, options_of, with_inner, wrapped
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError


def check_around(experiment: Experiment) -> None:
    """Refuses an attack that changes how adversaries train around one whose adversaries send nothing of it.

    Raises:
        ConfigError: names the field.
    """
    if not experiment.adversaries.count:
        return
    for where, kind, outer in with_inner("attack", "attack", experiment.attack):
        facts = facts_of(kind, outer)
        held = wrapped(kind, outer, facts)
        if held is None or not _says(facts.on_training, outer):
            continue
        inner = _untrained(held)
        if inner is not None:
            raise ConfigError(
                f"{where}: {outer.label!r} changes how the adversaries train, and those of {inner.label!r} send "
                "nothing of their own training",
                f"use {outer.label!r} around an attack whose adversaries send what they trained, such as 'backdoor', "
                f"or {inner.label!r} without it",
                where,
            )


def _untrained(attack: Component) -> Component | None:
    """The attack, or the one within it, whose adversaries send nothing of their own training; None where they do."""
    facts = facts_of("attack", attack)
    if _says(facts.untrained, attack):
        return attack
    held = wrapped("attack", attack, facts)
    return None if held is None else _untrained(held)


def _says(fact: Callable[[Mapping[str, Any]], bool] | None, attack: Component) -> bool:
    try:
        return fact is not None and bool(fact(options_of("attack", attack)))
    except (KeyError, TypeError, ValueError):
        return False  # the check of the options says what is wrong with them
