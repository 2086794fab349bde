"""From a chain of components to the fields of a defence; options that a defence needs and that nobody gave."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedskew.audit.notation import in_notation, parse_chain
from fedskew.components.binding import FIELDS
from fedskew.components.permission import may_import
from fedskew.components.registry import lookup, names
from fedskew.components.row import REQUIRED
from fedskew.components.table import BUILT_IN
from fedskew.errors import ConfigError, nearest
from fedskew.wording import article

KINDS = ("transform", "aggregator", "learning-rate", "server-step")
"""The kinds of which a defence is made. A transform takes what an aggregator takes, and more."""

_FIELDS = {
    "aggregator": "defence.aggregator",
    "learning-rate": "defence.learning_rate",
    "server-step": "server.step",
}


@dataclass(frozen=True)
class Population:
    """Who takes part in an audit: n clients in each round, of whom some are adversaries."""

    clients: int
    adversaries: int


ASSUMED: Mapping[str, Callable[[Population, Mapping[str, Any]], Any]] = {
    "f": lambda p, part: p.adversaries,
    "b": lambda p, part: p.adversaries,
    "m": lambda p, part: p.clients - int(part.get("f", p.adversaries)),
    "theta": lambda p, part: math.ceil(0.4 * p.clients),
    "norm": lambda p, part: "median",
}
"""What an option that must be given is set to where it is not. Rules that ask for the number of adversaries are told
the true one; theta is the paper's share of the clients. The label of the setting shows it, and so does a report."""


@dataclass(frozen=True)
class Chosen:
    """A defence as a point of an axis.

    Attributes:
        label: in one line.
        changes: dotted field -> value.
        parts: (kind, component) in their order.
    """

    label: str
    changes: dict[str, Any]
    parts: tuple[tuple[str, dict[str, Any]], ...] = ()


def kind_of(name: str) -> str:
    """The kind of a part of a defence.

    Raises:
        ConfigError: there is no such component, or it may not be imported.
    """
    for kind in KINDS:
        if name in names(kind):
            return kind
    if ":" not in name:
        every = [known for kind in KINDS for known in names(kind)]
        close = nearest(name, every)
        if may_import(name):
            raise ConfigError(
                f"{name!r} is a module, and a defence is a function of it", f"write {name}:FUNCTION"
            )
        other = next((field for field, kind in FIELDS.items() if name in BUILT_IN[kind]), None)
        if other is not None:
            raise ConfigError(
                f"{name!r} is {article(FIELDS[other])} and no defence",
                f"set it for all that are compared: fedskew audit DEFENCE --set {other}={name}",
            )
        raise ConfigError(
            f"unknown defence {name!r}; `fedskew list` shows aggregators, transforms, learning-rate rules and server "
            "steps",
            f"did you mean {close!r}?" if close else None,
        )
    refused: dict[str, ConfigError] = {}
    for kind in KINDS:
        try:
            lookup(kind, name)
        except ConfigError as error:  # of another kind, by its signature
            refused[kind] = error
        else:
            return kind
    raise refused["aggregator"]


def chosen(text: str, population: Population, given: Mapping[str, Any] = {}) -> Chosen:
    """A defence from its notation.

    Args:
        given: more options, for the part that has them, or for the only part.

    Raises:
        ConfigError: an unknown component or option, or an option without a value; names it.
    """
    parts = [(kind_of(part["name"]), part) for part in parse_chain(text)]
    for name, value in given.items():
        _owner(text, parts, name)[name] = value
    for kind, part in parts:
        row = BUILT_IN[kind].get(part["name"])
        _assume(part, row.options if row else {}, population)
        for field, needed in (row.facts.needs if row else {}).items():
            if field.startswith("training."):
                raise ConfigError(
                    f"{text}: {part['name']!r} is one half of a method whose other half is {field} = {needed!r}, which "
                    "would have to change with it",
                    "write a study whose axis changes both (docs/config.md)",
                )
    return Chosen(" + ".join(in_notation(part) for _, part in parts), placed(text, parts), tuple(parts))


def placed(text: str, parts: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Dotted field -> value, of the parts of a defence.

    Args:
        parts: (kind, component) in their order.

    Raises:
        ConfigError: there are two of a kind of which a defence has one.
    """
    changes: dict[str, Any] = {}
    for kind, part in parts:
        if kind == "transform":
            changes.setdefault("defence.transforms", []).append(part)
        elif _FIELDS[kind] in changes:
            raise ConfigError(f"{text}: a defence has one {kind} and not two")
        else:
            changes[_FIELDS[kind]] = part
    return changes


def _owner(text: str, parts: Sequence[tuple[str, dict[str, Any]]], option: str) -> dict[str, Any]:
    """The part that an option beside the notation is for."""
    found = []
    for kind, part in parts:
        row = BUILT_IN[kind].get(part["name"])
        if (row is not None and option in row.options) or (row is None and len(parts) == 1):
            found.append(part)
    if not found:
        raise ConfigError(f"{text} has no option {option!r}; {_options(parts)}")
    if len(found) > 1:
        named = " and ".join(str(part["name"]) for part in found)
        raise ConfigError(
            f"{text}: {named} have an option {option!r} each", "write it in the brackets of each"
        )
    if option in found[0]:
        raise ConfigError(f"{text}: {option!r} is given twice")
    return found[0]


def _options(parts: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Which options the parts of a defence have."""
    found = []
    for kind, part in parts:
        row = BUILT_IN[kind].get(part["name"])
        if row is not None:
            found.append(f"{part['name']} has {', '.join(row.options) or 'none'}")
        else:
            found.append(f"those of {part['name']} go into its brackets")
    return "; ".join(found)


def _assume(part: dict[str, Any], options: Mapping[str, Any], population: Population) -> None:
    for name, default in options.items():
        if default is REQUIRED and name not in part:
            if name not in ASSUMED:
                raise ConfigError(
                    f"{part['name']} needs its option {name!r}, for which an audit assumes nothing",
                    f'give it: "{part["name"]}({name}=...)", or --set {name}=...',
                )
            part[name] = ASSUMED[name](population, part)
