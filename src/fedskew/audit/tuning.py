"""The options of an audit's defences, chosen by a rule before the audit: the best worst case on validation data.

For every defence the same attacks and spreads of the data are run with each of its settings, on seeds that the audit
does not use and with a part of the training data held out for validation. An attack's score is the validation accuracy,
or, if that is lower, the share of triggered validation images that a backdoor does not turn. A setting's score is the
lowest of its means over seeds, over all attacks and spreads; the highest wins, of equal ones the first: max over
settings of the min over attacks, the rule of ByzFL's benchmark. Test images play no part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedskew.analysis.scorecard import what_is_left
from fedskew.audit.defences import Chosen, Population, chosen
from fedskew.audit.notation import parse_chain
from fedskew.components.table import BUILT_IN
from fedskew.config.toml_io import parse_override
from fedskew.errors import ConfigError, RunError
from fedskew.wording import count

VALIDATION = 0.2
"""The share of the training data that tuning holds out."""
FIRST_SEED = 1000
"""Seeds from here on are those of tuning."""

GRIDS: Mapping[str, tuple[str, Callable[[Population], Sequence[Any]]]] = {
    "rlr": ("theta", lambda p: [math.ceil(share * p.clients) for share in (0.5, 0.3, 0.6, 0.2, 0.7)]),
    "krum": ("f", lambda p: range(p.adversaries, p.clients)),
    "multi-krum": ("f", lambda p: range(p.adversaries, p.clients)),
    "trimmed-mean": ("b", lambda p: range(p.adversaries, p.clients)),
    "clip": ("norm", lambda p: [1.0, 0.3, 3.0, 0.1, 10.0]),
    "centered-clipping": ("tau", lambda p: [0.5, 2.0, 0.1, 4.0]),
    "dnc": ("f", lambda p: range(p.adversaries, p.clients)),
    "nnm": ("f", lambda p: range(p.adversaries, p.clients)),
}
"""Component -> its option that is tuned where an audit compares with it, and the values in the order in which they are
tried after the one that it has anyway: with it as many as the audited defence has settings."""


@dataclass(frozen=True)
class Candidates:
    """A defence and its settings, each a complete defence."""

    named: str
    settings: tuple[Chosen, ...]


def audited_settings(
    text: str, population: Population, options: Mapping[str, Any], tune: Sequence[str]
) -> Candidates:
    """The settings of the audited defence: every combination of the values.

    Args:
        tune: ``OPTION=VALUE,VALUE,...`` each.

    Raises:
        ConfigError: no list of values, or an option that the defence does not have.
    """
    grids: dict[str, list[Any]] = {}
    for assignment in tune:
        name, _, listed = assignment.partition("=")
        values = [parse_override(f"value={value.strip()}")[1] for value in listed.split(",") if value.strip()]
        if not name.strip() or len({repr(value) for value in values}) < max(2, len(values)):
            raise ConfigError(
                f"--tune {assignment!r}: expected OPTION=VALUE,VALUE,... with two or more different values",
                "for example --tune f=1,2,3",
            )
        grids[name.strip()] = values
    points = itertools.product(*grids.values())
    return Candidates(
        text,
        tuple(
            chosen(text, population, {**options, **dict(zip(grids, point, strict=True))}) for point in points
        ),
    )


def others_settings(text: str, population: Population, budget: int) -> Candidates:
    """The settings of a defence that is compared with, at most ``budget`` of them: first what it is as an audited one,
    then other values of the first option that has a grid and that the notation leaves open."""
    plain = chosen(text, population)
    found = {plain.label: plain}
    for part, (kind, full) in zip(parse_chain(text), plain.parts, strict=True):
        option, values = GRIDS.get(part["name"], ("", None))
        if values is None or option in part:
            continue
        there = full.get(option, BUILT_IN[kind][part["name"]].options[option])
        others = [chosen(text, population, {option: value}) for value in values(population) if value != there]
        found |= {one.label: one for one in others}
        break
    return Candidates(text, tuple(found.values())[:budget])


def tuning_content(
    name: str, base: Mapping[str, Any], axes: Mapping[str, Any], candidates: Sequence[Candidates], seeds: int
) -> dict[str, Any]:
    """The study file of the tuning.

    Args:
        axes: those of the audit, without that of the defences.
    """
    settings = {one.label: one.changes for each in candidates for one in each.settings}
    data = base["data"]
    return {
        "name": name,
        "description": "Chooses the options of an audit's defences on validation data",
        "seeds": [FIRST_SEED + number for number in range(seeds)],
        "base": {
            **base,
            "data": {**(data if isinstance(data, dict) else {"name": data}), "validation": VALIDATION},
        },
        "axes": {**axes, "setting": {"variants": settings}},
    }


def score_of(results: pd.DataFrame, axes: Sequence[str]) -> float:
    """The score of a setting: the lowest, over cells, of the mean over seeds of each run's score.

    Args:
        results: of the setting's runs.
        axes: besides the setting.
    """
    scores = what_is_left(results, "validation_accuracy", "validation_attack_success_rate")
    return float(scores.groupby([results[axis] for axis in axes], sort=False).mean().min())


def best(candidates: Candidates, results: pd.DataFrame, axes: Sequence[str]) -> Chosen:
    """The setting with the highest score, the first of equal ones.

    Raises:
        RunError: a setting's runs are not complete.
    """
    scores = []
    for one in candidates.settings:
        rows = results[results["setting"] == one.label] if len(results) else results
        if rows.empty:
            raise RunError(f"tuning: no run of {one.label} is complete")
        scores.append(score_of(rows, axes))
    return candidates.settings[scores.index(max(scores))]


def in_words(candidates: Sequence[Candidates], winners: Sequence[Chosen], seeds: int) -> str:
    """What was tuned, by which rule, for a report."""
    parts = [
        f"{winner.label} of {count(len(each.settings), 'setting')}"
        for each, winner in zip(candidates, winners, strict=True)
    ]
    return (
        f"chosen before the audit, on {100 * VALIDATION:g} % of the training data and {count(seeds, 'seed')} that the "
        f"audit does not use, by the best worst case over the audit's own attacks and spreads: {', '.join(parts)}"
    )
