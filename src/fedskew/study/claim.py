"""A claim: what a study's author says its numbers will show. Compared with the data in ``analysis.claims``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedskew.config import Experiment, Record
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError, nearest
from fedskew.evaluation.leakage_table import leakage_names
from fedskew.evaluation.metric_table import METRICS, meaning

SKEWS = tuple(
    f"skew_{name}" for name in ("total_variation", "jensen_shannon", "effective_classes", "size_gini")
)
"""The measures of a run's split that a claim can be about (``partition.heterogeneity``)."""


class Pace(Record):
    """Another metric and the direction in which it is said to change, to be faster than."""

    metric: str
    direction: Literal["rises", "falls"]


class Claim(Record):
    """One statement about a metric: it rises or falls from one point of an axis to another, or over an axis.

    The effect is a difference (``compare``), a slope (``over``), or the slope of a difference (both), which is
    what "and more so at low alpha" means.

    Attributes:
        text: the claim in words.
        metric: what it is about, a name of docs/metrics.md or ``"rounds"``.
        direction: of the effect. Over alpha it is what happens as alpha *falls*; over another axis, or a
            measured skew, as it grows.
        compare: {axis: [first, second]}; the effect is second minus first, of the same seed.
        over: a numeric axis, or a measured skew such as ``"skew_total_variation"``.
        where: {axis: label}: the cells it is about; the axes that are not named are averaged over.
        worst_of: an axis over which each seed's worst run counts instead of the average, e.g. one of attacks; only runs
            that have the metric, and in an audit only those with an attack.
        margin: in the units of the tables (percentage points for shares). ``"rises"`` by more than it; or
            ``"does not fall"`` by more than it (non-inferiority).
        faster_than: makes the claim one about relative change (of the logarithm): it is larger than this one's.
        source: where it is stated, e.g. a section of a paper.
    """

    text: str = Field(min_length=1)
    metric: str
    direction: Literal["rises", "falls", "does not rise", "does not fall"]
    compare: dict[str, tuple[Any, Any]] | None = None
    over: str | None = None
    where: dict[str, Any] = Field(default_factory=dict)
    worst_of: str | None = None
    margin: Annotated[float, Field(ge=0)] = 0.0
    faster_than: Pace | None = None
    source: str = ""

    @model_validator(mode="after")
    def _about_something(self) -> Claim:
        if self.compare is None and self.over is None:
            raise ValueError("a claim needs compare = { AXIS = [FIRST, SECOND] }, or over = AXIS, or both")
        if self.compare is not None and len(self.compare) != 1:
            raise ValueError("compare takes exactly one axis: { AXIS = [FIRST, SECOND] }")
        if self.direction.startswith("does not") and not self.margin:
            raise ValueError(
                f"direction = {self.direction!r} needs a margin > 0: no number of seeds shows that nothing changes"
            )
        return self

    @property
    def side(self) -> int:
        """1 where the effect is claimed to lie above ``threshold``, -1 where below."""
        return 1 if self.direction in ("rises", "does not fall") else -1

    @property
    def pair(self) -> tuple[str, Any, Any] | None:
        """(axis, first, second) that are compared; None if nothing is."""
        if self.compare is None:
            return None
        ((axis, (first, second)),) = self.compare.items()
        return axis, first, second

    @property
    def digits(self) -> int:
        """Decimals with which its effect is told."""
        return 2 if self.faster_than else meaning(self.metric).digits

    @property
    def threshold(self) -> float:
        """What the effect is claimed to lie above or below."""
        return self.margin if self.direction in ("rises", "does not rise") else -self.margin


def known_metrics(experiments: Iterable[Experiment]) -> frozenset[str] | None:
    """The names of the metrics that runs of these experiments may record; None where some measure metrics of their own,
    whose names only a run knows."""
    there = list(experiments)
    if any(experiment.evaluation.metrics for experiment in there):
        return None
    attacks = {attack.label for experiment in there for attack in experiment.privacy.attacks}
    return METRICS.union(*map(leakage_names, attacks))


def check_claims(
    claims: Sequence[Claim],
    axes: Mapping[str, Sequence[Any]],
    known: Collection[str] | None,
    origin: Origin,
) -> None:
    """Refuses claims about what a study does not have.

    Args:
        axes: the labels of each axis.
        known: as of ``known_metrics``.

    Raises:
        ConfigError: an unknown metric, axis or label; names the field, its line, what there is and the nearest.
    """
    for number, claim in enumerate(claims):
        check = _Check(origin, number)
        for field, metric in (
            (("metric",), claim.metric),
            (("faster_than", "metric"), claim.faster_than.metric if claim.faster_than else "accuracy"),
        ):
            if known is not None:
                check(field, "metric", metric, sorted({*known, "rounds"}))
        for axis, pair in (claim.compare or {}).items():
            check(("compare",), "axis", axis, list(axes))
            for label in pair:
                check(("compare",), f"label of {axis}", label, axes[axis])
            if pair[0] == pair[1]:
                raise check.error(("compare",), f"{pair[0]!r} is compared with itself")
        for axis, label in claim.where.items():
            check(("where",), "axis", axis, list(axes))
            check(("where",), f"label of {axis}", label, axes[axis])
        if claim.over is not None:
            check(("over",), "axis or measured skew", claim.over, [*axes, *SKEWS])
            if claim.over in axes and not all(map(_is_number, axes[claim.over])):
                listed = ", ".join(map(_toml, axes[claim.over]))
                raise check.error(("over",), f"the axis {claim.over!r} is not numeric: {listed}")
        if claim.worst_of is not None:
            check(("worst_of",), "axis", claim.worst_of, list(axes))
            if meaning(claim.metric).better == "neither" or claim.faster_than is not None:
                raise check.error(("worst_of",), f"nothing says which {claim.metric} is the worst")
        named = [*(claim.compare or {}), *claim.where, claim.over, claim.worst_of]
        if twice := next((axis for axis in named if axis is not None and named.count(axis) > 1), None):
            raise check.error(
                (),
                f"the axis {twice!r} is used twice; expected each axis in one of compare, over, where, worst_of",
            )


class _Check:
    """Names the place of one claim's field."""

    def __init__(self, origin: Origin, number: int) -> None:
        self.origin, self.path = origin, ("claims", str(number))

    def __call__(self, field: tuple[str, ...], what: str, given: Any, valid: Sequence[Any]) -> None:
        if given not in valid:
            close = nearest(str(given), map(str, valid))
            meant = next((label for label in valid if str(label) == close), None)
            listed = ", ".join(map(_toml, valid)) or "(none)"
            raise self.error(
                field,
                f"unknown {what} {_toml(given)}; valid: {listed}",
                close and f"did you mean {_toml(meant)}?",
            )

    def error(self, field: tuple[str, ...], message: str, hint: str | None = None) -> ConfigError:
        path = (*self.path, *field)
        return ConfigError(f"{self.origin.at(path)}: {'.'.join(path)}: {message}", hint, ".".join(path))


def _toml(label: Any) -> str:
    """A label as it is written in a study file."""
    return json.dumps(label, ensure_ascii=False) if isinstance(label, str | bool) else str(label)


def _is_number(label: Any) -> bool:
    try:
        return not isinstance(label, bool) and float(label) == float(label)
    except ValueError:
        return False
