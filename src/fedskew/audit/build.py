"""The study of an audit, as the content of a study file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedskew.audit.defences import Chosen, Population, chosen
from fedskew.audit.levels import EXTENTS, LEVELS, OTHERS, TRAINED, Level
from fedskew.audit.suite import Scene, named
from fedskew.config import Experiment
from fedskew.config.origin import Origin
from fedskew.config.toml_io import parse_override, with_override
from fedskew.errors import ConfigError
from fedskew.study.grid import completed_experiment

UNDEFENDED, NO_ATTACK = "no defence", "no attack"
TARGET = 7
"""The class that backdoors send images to: the quickstart's."""
COSTS, COSTS_WORST = 2.0, 5.0
"""By how many percentage points of accuracy, and of the worst class's, a defence is said to cost at most."""


@dataclass(frozen=True)
class Wish:
    """What an audit is asked to do; None and () are the level's.

    Attributes:
        defence: in the notation of ``audit.notation``.
        data: a data set by its name, or the path of an ``npz`` file.
        overrides: ``NAME=VALUE``, an option of the defence or a field of the experiment.
    """

    defence: str
    level: Level = "quick"
    data: str = "digits"
    alphas: tuple[float, ...] = ()
    attacks: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    seeds: int | None = None
    clients: int = 10
    adversaries: int = 2
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Built:
    """An audit's study.

    Attributes:
        content: of the study file.
        left_out: attacks of the suite that cannot be done here -> why.
    """

    content: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


def build_audit(wish: Wish) -> Built:
    """The study that audits a defence.

    Raises:
        ConfigError: one sentence about what cannot be done; an attack of the suite that cannot be done is left out, one
            that was asked for by its name is not.
    """
    population = Population(wish.clients, wish.adversaries)
    if not 0 < wish.adversaries < wish.clients:
        raise ConfigError(
            "an audit needs adversaries and honest clients: got "
            f"{wish.adversaries} adversaries of {wish.clients} clients"
        )
    extent = EXTENTS[wish.level]
    options, base = _sorted_overrides(wish.overrides, _base(wish))
    audited = chosen(wish.defence, population, options)
    others = [chosen(text, population) for text in wish.against or extent.against]
    defences = {one.label: one for one in [audited, *others]}
    target = min(TARGET, 1) if wish.data not in TRAINED else TARGET
    scene = Scene(population, target)
    attacks = named(wish.attacks or ("suite",), wish.level, scene)
    doable, left_out = _doable(base, attacks, audited, by_name={*wish.attacks} - {"suite"})
    if not doable:
        raise ConfigError(f"no attack is left: {'; '.join(left_out.values())}")
    variants = {NO_ATTACK: {"adversaries.count": 0}, **{label: {"attack": a} for label, a in doable.items()}}
    content = {
        "name": "audit-" + re.sub(r"[^A-Za-z0-9._-]+", "-", audited.label).strip("-._"),
        "description": f"Audit of {audited.label} ({wish.level})",
        "seeds": list(range(extent.seeds if wish.seeds is None else wish.seeds)),
        "base": base,
        "audit": {"defence": audited.label, "undefended": UNDEFENDED, "no_attack": NO_ATTACK},
        "axes": {
            "alpha": {"field": "split.alpha", "values": list(wish.alphas or extent.alphas)},
            "attack": {"variants": variants},
            "defence": {
                "variants": {UNDEFENDED: {}, **{label: one.changes for label, one in defences.items()}}
            },
        },
        "claims": _claims(audited.label, len(wish.alphas or extent.alphas)),
    }
    return Built(content, left_out)


def _base(wish: Wish) -> dict[str, Any]:
    trained, rounds = TRAINED.get(wish.data, OTHERS)
    is_file = wish.data not in TRAINED and wish.data.endswith(".npz")
    return {
        "rounds": rounds[LEVELS.index(wish.level)],
        "data": {"name": "npz", "path": str(Path(wish.data))} if is_file else wish.data,
        **trained,
        "split": {"name": "dirichlet", "alpha": 1.0},
        "clients": {"count": wish.clients, "held_out": 0.2},
        "stopping": "rounds",
        "adversaries": {"count": wish.adversaries, "data": "sample", "fraction": round(1 / wish.clients, 4)},
    }


def _sorted_overrides(
    overrides: Sequence[str], base: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the defence, and the base with the fields of the experiment."""
    options: dict[str, Any] = {}
    for assignment in overrides:
        path, value = parse_override(assignment)
        if path[0] in Experiment.model_fields:
            base = with_override(base, path, value, Experiment())
        elif len(path) == 1:
            options[path[0]] = value
        else:
            raise ConfigError(f"--set {assignment}: {path[0]!r} is no field of an experiment")
    return options, base


def _doable(
    base: dict[str, Any], attacks: Mapping[str, dict[str, Any]], audited: Chosen, by_name: set[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The attacks that can be done on the audited defence, and why the others cannot."""
    doable, left_out = {}, {}
    for label, attack in attacks.items():
        content = {**base, "attack": attack}
        for path, value in audited.changes.items():
            content = with_override(content, path.split("."), value, Experiment())
        try:
            completed_experiment(content, Origin(f"attack {label!r}"))
        except ConfigError as error:
            if label in by_name or error.field is None or not error.field.startswith("attack"):
                raise
            left_out[label] = error.message
        else:
            doable[label] = attack
    return doable, left_out


def _claims(defence: str, alphas: int) -> list[dict[str, Any]]:
    """What an audit asks of every defence."""
    compare, clean = {"defence": [UNDEFENDED, defence]}, {"attack": NO_ATTACK}
    found: list[dict[str, Any]] = [
        {
            "text": f"without an attack, {defence} costs at most {COSTS:g} points of accuracy",
            "metric": "accuracy",
            "direction": "does not fall",
            "margin": COSTS,
            "compare": compare,
            "where": clean,
        },
        {
            "text": f"without an attack, {defence} costs the worst class at most {COSTS_WORST:g} points",
            "metric": "worst_class_accuracy",
            "direction": "does not fall",
            "margin": COSTS_WORST,
            "compare": compare,
            "where": clean,
        },
        {
            "text": f"under the worst attack, {defence} is more accurate than no defence",
            "metric": "accuracy",
            "direction": "rises",
            "compare": compare,
            "worst_of": "attack",
        },
        {
            "text": f"the worst backdoor succeeds less often against {defence} than against no defence",
            "metric": "attack_success_rate",
            "direction": "falls",
            "compare": compare,
            "worst_of": "attack",
        },
    ]
    if alphas > 1:
        found.append(
            {
                "text": f"the worst attack on {defence} does more harm the more unevenly the data is spread",
                "metric": "accuracy",
                "direction": "falls",
                "over": "alpha",
                "where": {"defence": defence},
                "worst_of": "attack",
            }
        )
    return found
