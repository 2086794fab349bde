"""Defaults that have changed, and what they were, so that no run is done again because a default changed.

A study keeps the defaults with which its folder was begun (``Study.defaults``). A run is named as before: in its hash
the earlier default is what goes without saying (``identity``), so the same result has the same name whichever default
gave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

FIRST: Literal[1] = 1
PRESENT: Literal[2] = 2
"""The numbers of both sets of defaults."""

OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "split": {"dirichlet": {"remainder": "first"}},
    "attack": {"backdoor": {"poison_fraction": 1.0}},
}
"""Kind of component -> name -> option -> its default in set 1. The kinds are fields of an experiment too."""

FIELDS: dict[str, Any] = {"training.optimizer.state": "persist", "stopping": "plateau"}
"""Dotted path of a field -> its default in set 1."""


def as_before(content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of an experiment that say what set 1 would have filled in where they say nothing."""
    filled = {"stopping": FIELDS["stopping"], **content}
    for kind, components in OPTIONS.items():
        given = filled.get(kind)
        name = given.get("name") if isinstance(given, Mapping) else None
        if isinstance(given, Mapping) and isinstance(name, str):
            filled[kind] = {**components.get(name, {}), **given}
    training = filled.get("training", {})
    optimizer = training.get("optimizer", {}) if isinstance(training, Mapping) else None
    optimizer = {"name": optimizer} if isinstance(optimizer, str) else optimizer
    if isinstance(optimizer, Mapping):
        state = {"name": "adam", "state": FIELDS["training.optimizer.state"]}
        filled["training"] = {**training, "optimizer": {**state, **optimizer}}
    return filled
