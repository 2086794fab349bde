"""The study of an audit, as the content of a study file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedskew.analysis.significance import FEWEST
from fedskew.audit.claims import NO_ATTACK, UNDEFENDED, claims_about
from fedskew.audit.defences import Chosen, Population
from fedskew.audit.levels import EXTENTS, LEVELS, OTHERS, TRAINED, Level
from fedskew.audit.notation import in_notation
from fedskew.audit.possible import check_possible, doable, possible_settings
from fedskew.audit.privacy import leading_metric, named_privacy
from fedskew.audit.spread import clients_of, split_of, spread_of
from fedskew.audit.suite import Scene, named
from fedskew.audit.tuning import (
    Candidates,
    audited_settings,
    in_words,
    others_settings,
    tuning_content,
)
from fedskew.components.known import innermost, values_of
from fedskew.config import Component, Experiment
from fedskew.config.toml_io import parse_override, with_override
from fedskew.errors import ConfigError

TARGET = 7
"""The class that backdoors send images to: the quickstart's."""
FILES = {".npz": "npz", ".csv": "csv", ".parquet": "parquet"}
"""The end of a file's name -> the data set that reads it."""
LONGEST = 60
"""Letters of a defence in the name of its study."""
OWNED = {
    "defence": "the notation of DEFENCE, or --against",
    "server.step": "the notation of DEFENCE",
    "clients.count": "--clients",
    "adversaries.count": "--adversaries",
    "split.alpha": "--alphas, or --split for a split of your own",
    "attack": "--attacks",
    "seed": "--seeds",
    "data.name": "--data",
    "data.path": "--data",
    "privacy.attacks": "--privacy-attacks",
}
"""Fields of an experiment that an audit sets -> what sets them."""


@dataclass(frozen=True)
class Wish:
    """What an audit is asked to do; None and () are the level's.

    Attributes:
        defence: in the notation of ``audit.notation``.
        data: a data set by its name, or the path of an ``npz``, ``csv`` or ``parquet`` file.
        split: instead of alphas: how the data is spread, as a split in the notation or a file of clients. It is
            compared with the same samples spread evenly.
        clients: 0 for the usual number, or for those of a csv file of clients and the adversaries.
        overrides: ``NAME=VALUE``, an option of the defence or a field of the experiment.
        tune: ``OPTION=VALUE,VALUE,...``, options of the defence that are chosen by ``audit.tuning``.
        privacy: privacy attacks that watch the runs without an attack; ``"suite"`` for the usual ones.
    """

    defence: str
    level: Level = "quick"
    data: str = "digits"
    alphas: tuple[float, ...] = ()
    split: str = ""
    attacks: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    seeds: int | None = None
    clients: int = 0
    adversaries: int = 2
    overrides: tuple[str, ...] = ()
    tune: tuple[str, ...] = ()
    privacy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """An audit whose defences are not chosen yet.

    Attributes:
        audited, others: the settings of each defence; one unless it is to be tuned.
        axes: of the study, without that of the defences.
        privacy: the privacy attacks that watch the runs without an attack; not those of the tuning.
        left_out: what the level brings and cannot be done here, attacks and defences -> why.
    """

    wish: Wish
    name: str
    base: dict[str, Any]
    axes: dict[str, Any]
    seeds: int
    audited: Candidates
    others: tuple[Candidates, ...]
    privacy: tuple[dict[str, Any], ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def has_backdoors(self) -> bool:
        """Whether some attack has a target class, by which evaluation measures it."""
        attacks = (Component.model_validate(v["attack"]) for v in self.axes["attack"]["variants"].values())
        return any(innermost("attack", one).options.get("target") is not None for one in attacks)

    @property
    def leaks(self) -> dict[str, str]:
        """Each privacy attack that watches, and the metric that stands for what it finds."""
        return {in_notation(one): leading_metric(one) for one in self.privacy}

    @property
    def is_tuned(self) -> bool:
        """Whether some defence has several settings."""
        return len(self.audited.settings) > 1

    @property
    def spread(self) -> dict[str, list[Any]]:
        """How the data is spread: the axis and its labels, from even to uneven."""
        axis = next(iter(self.axes))
        return {axis: list(self.axes[axis].get("values") or self.axes[axis]["variants"])}

    def tuning(self) -> dict[str, Any]:
        """The study file that chooses the settings."""
        return tuning_content(
            f"{self.name}-tuning", self.base, self.axes, [self.audited, *self.others], self.tuning_seeds
        )

    @property
    def tuning_seeds(self) -> int:
        """How many seeds tuning has."""
        return max(FEWEST, self.seeds // 2)

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
            "axes": {
                **self.axes,
                "attack": {"variants": self._watched()},
                "defence": {"variants": {UNDEFENDED: {}, **defences}},
            },
            "claims": claims_about(audited.label, self.spread, self.has_backdoors, self.leaks),
        }

    def _watched(self) -> dict[str, Any]:
        """The variants of the attack, the one without any watched by the privacy attacks."""
        variants: dict[str, Any] = self.axes["attack"]["variants"]
        if not self.privacy:
            return variants
        return {**variants, NO_ATTACK: {**variants[NO_ATTACK], "privacy.attacks": list(self.privacy)}}


def prepare(wish: Wish) -> Prepared:
    """An audit as it is asked for.

    Raises:
        ConfigError: one sentence about what cannot be done. Of what the level brings, attacks and defences to compare
            with, that is left out; of what was asked for by its name, it is an error.
    """
    clients, much = clients_of(wish.split, wish.clients, wish.adversaries)
    wish = replace(wish, clients=clients)
    population = Population(wish.clients, wish.adversaries)
    if not 0 < wish.adversaries < wish.clients:
        raise ConfigError(
            "an audit needs adversaries and honest clients: got "
            f"{wish.adversaries} adversaries of {wish.clients} clients"
        )
    if len(set(wish.alphas)) < len(wish.alphas):
        raise ConfigError(f"--alphas: expected different numbers, got {', '.join(map(str, wish.alphas))}")
    extent, left_out = EXTENTS[wish.level], {}
    options, base = _sorted_overrides(wish, _base(wish, much))
    check_possible(base, {}, "the audit")
    audited = audited_settings(wish.defence, population, options, wish.tune)
    for one in audited.settings:
        check_possible(base, one.changes, one.label)
    others: list[Candidates] = []
    for text in wish.against or extent.against:
        each = others_settings(text, population, len(audited.settings))
        if {one.label for one in audited.settings} & {one.label for one in each.settings}:
            continue
        settings, reason = possible_settings(base, each)
        if settings:
            others.append(Candidates(text, tuple(settings)))
        elif wish.against:
            raise ConfigError(reason)
        else:
            left_out[each.settings[0].label] = reason
    target = TARGET if wish.data in TRAINED else 1
    tabular = values_of(Component.model_validate(base["data"])) == ("numbers",)
    attacks, asked = named(wish.attacks or ("suite",), wish.level, Scene(population, target, tabular))
    there, why = doable(base, {label: {"attack": one} for label, one in attacks.items()}, asked)
    left_out |= why
    if not there:
        raise ConfigError(f"no attack is left: {'; '.join(left_out.values())}")
    watching, asked = named_privacy(wish.privacy)
    watchers, why = doable(
        base, {label: {"privacy.attacks": [one]} for label, one in watching.items()}, asked
    )
    left_out |= why
    return Prepared(
        wish,
        _name(wish),
        base,
        {
            **spread_of(wish.split, wish.alphas, extent.alphas),
            "attack": {"variants": {NO_ATTACK: {"attack": {"name": "none"}}, **there}},
        },
        extent.seeds if wish.seeds is None else wish.seeds,
        audited,
        tuple(others),
        tuple(watching[label] for label in watchers),
        left_out,
    )


def _name(wish: Wish) -> str:
    """The name of the study, and so of its folder; of a long one the beginning, and a hash of all."""
    level = "" if wish.level == "quick" else f"-{wish.level}"
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", wish.defence).strip("-._")
    if len(words) > LONGEST or not words:
        words = f"{words[:LONGEST]}-{hashlib.sha256(wish.defence.encode()).hexdigest()[:8]}".lstrip("-")
    return f"audit-{words}{level}"


def _base(wish: Wish, much: dict[str, Any]) -> dict[str, Any]:
    trained, rounds = TRAINED.get(wish.data, OTHERS)
    loader = None if wish.data in TRAINED else FILES.get(Path(wish.data).suffix.lower())
    return {
        "rounds": rounds[LEVELS.index(wish.level)],
        "data": {"name": loader, "path": str(Path(wish.data))} if loader else wish.data,
        **trained,
        "split": split_of(wish.split),
        "clients": {"count": wish.clients, "held_out": 0.2},
        "stopping": "rounds",
        "adversaries": {"count": wish.adversaries, "data": "sample", **much},
    }


def _sorted_overrides(wish: Wish, base: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the defence, and the base with the fields of the experiment."""
    options: dict[str, Any] = {}
    set_here = {**OWNED, "split": "--split"} if wish.split else OWNED
    for assignment in wish.overrides:
        path, value = parse_override(assignment)
        given = ".".join(path)
        for owned, option in set_here.items():
            if f"{given}.".startswith(f"{owned}.") or owned.startswith(f"{given}."):
                raise ConfigError(f"--set {assignment}: an audit sets {owned} itself", f"use {option}")
        if given in ("adversaries.size", "adversaries.fraction"):  # one of the two; the audit's gives way
            held = {k: v for k, v in base["adversaries"].items() if k not in ("size", "fraction")}
            base = {**base, "adversaries": held}
        if path[0] in Experiment.model_fields:
            base = with_override(base, path, value, Experiment())
        elif len(path) == 1:
            options[path[0]] = value
        else:
            raise ConfigError(f"--set {assignment}: {path[0]!r} is no field of an experiment")
    return options, base
