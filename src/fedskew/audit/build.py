"""The study of an audit, as the content of a study file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedskew.audit.defences import Chosen, Population
from fedskew.audit.levels import EXTENTS, LEVELS, OTHERS, TRAINED, Level
from fedskew.audit.suite import Scene, named
from fedskew.audit.tuning import (
    Candidates,
    audited_settings,
    in_words,
    others_settings,
    tuning_content,
)
from fedskew.config import Experiment
from fedskew.config.origin import Origin
from fedskew.config.toml_io import parse_override, with_override
from fedskew.errors import ConfigError
from fedskew.study.grid import completed_experiment

UNDEFENDED, NO_ATTACK = "no defence", "no attack"
TARGET = 7
"""The class that backdoors send images to: the quickstart's."""
MIN_SIZE = 5
"""Images of a client, at least: a split that leaves one fewer is drawn again, so that every rule has its updates."""
COSTS, COSTS_WORST = 2.0, 5.0
"""By how many percentage points of accuracy, and of the worst class's, a defence is said to cost at most."""


@dataclass(frozen=True)
class Wish:
    """What an audit is asked to do; None and () are the level's.

    Attributes:
        defence: in the notation of ``audit.notation``.
        data: a data set by its name, or the path of an ``npz`` file.
        overrides: ``NAME=VALUE``, an option of the defence or a field of the experiment.
        tune: ``OPTION=VALUE,VALUE,...``, options of the defence that are chosen by ``audit.tuning``.
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
    tune: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """An audit whose defences are not chosen yet.

    Attributes:
        audited, others: the settings of each defence; one unless it is to be tuned.
        axes: of the study but that of the defences.
        left_out: attacks of the suite that cannot be done here -> why.
    """

    wish: Wish
    name: str
    base: dict[str, Any]
    axes: dict[str, Any]
    seeds: int
    audited: Candidates
    others: tuple[Candidates, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def is_tuned(self) -> bool:
        """Whether some defence has several settings."""
        return len(self.audited.settings) > 1

    def tuning(self) -> dict[str, Any]:
        """The study file that chooses the settings."""
        return tuning_content(
            f"{self.name}-tuning", self.base, self.axes, [self.audited, *self.others], self.tuning_seeds
        )

    @property
    def tuning_seeds(self) -> int:
        """How many seeds tuning has."""
        return max(1, self.seeds // 2)

    def content(self, winners: Sequence[Chosen] = ()) -> dict[str, Any]:
        """The study file of the audit.

        Args:
            winners: the setting of each defence, the audited one first; the only one of each unless given.
        """
        candidates = [self.audited, *self.others]
        audited, *others = winners or [each.settings[0] for each in candidates]
        defences = {one.label: one.changes for one in [audited, *others]}
        parts = {"defence": audited.label, "undefended": UNDEFENDED, "no_attack": NO_ATTACK}
        if winners:
            parts["tuned"] = in_words(candidates, winners, self.tuning_seeds)
        return {
            "name": self.name,
            "description": f"Audit of {audited.label} ({self.wish.level})",
            "seeds": list(range(self.seeds)),
            "base": self.base,
            "audit": parts,
            "axes": {**self.axes, "defence": {"variants": {UNDEFENDED: {}, **defences}}},
            "claims": _claims(audited.label, len(self.axes["alpha"]["values"])),
        }


def prepare(wish: Wish) -> Prepared:
    """An audit as it is asked for.

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
    audited = audited_settings(wish.defence, population, options, wish.tune)
    budget = len(audited.settings)
    others = [others_settings(text, population, budget) for text in wish.against or extent.against]
    known = {one.label for one in audited.settings}
    others = [each for each in others if not known & {one.label for one in each.settings}]
    target = TARGET if wish.data in TRAINED else 1
    attacks = named(wish.attacks or ("suite",), wish.level, Scene(population, target))
    doable, left_out = _doable(base, attacks, audited.settings[0], by_name={*wish.attacks} - {"suite"})
    if not doable:
        raise ConfigError(f"no attack is left: {'; '.join(left_out.values())}")
    variants = {NO_ATTACK: {"attack": {"name": "none"}}, **{label: {"attack": a} for label, a in doable.items()}}
    return Prepared(
        wish,
        "audit-" + re.sub(r"[^A-Za-z0-9._-]+", "-", wish.defence).strip("-._"),
        base,
        {
            "alpha": {"field": "split.alpha", "values": list(wish.alphas or extent.alphas)},
            "attack": {"variants": variants},
        },
        extent.seeds if wish.seeds is None else wish.seeds,
        audited,
        tuple(others),
        left_out,
    )


def _base(wish: Wish) -> dict[str, Any]:
    trained, rounds = TRAINED.get(wish.data, OTHERS)
    is_file = wish.data not in TRAINED and wish.data.endswith(".npz")
    return {
        "rounds": rounds[LEVELS.index(wish.level)],
        "data": {"name": "npz", "path": str(Path(wish.data))} if is_file else wish.data,
        **trained,
        "split": {"name": "dirichlet", "alpha": 1.0, "min_size": MIN_SIZE},
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
