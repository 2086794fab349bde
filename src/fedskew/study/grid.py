"""A study: a base experiment, axes that change fields of it, seeds. Grid x seeds -> planned runs.

Runs are named by the hash of what determines them, so a run that two cells share is done once, a study that
grows keeps what it has, and a copied folder is still right.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fedskew.components.columns import RESULTS, STATISTICS
from fedskew.components.completed import Completed, completed
from fedskew.components.earlier import FIRST, PRESENT, as_before
from fedskew.components.identity import VERSION
from fedskew.config import Experiment, Record
from fedskew.config.build import build
from fedskew.config.origin import Origin, blamed, split_path
from fedskew.config.toml_io import with_override
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import METRICS
from fedskew.study.audit import Audit, check_audit
from fedskew.study.claim import Claim, check_claims, known_metrics
from fedskew.wording import cell_in_words

COLUMNS = ({*RESULTS, *STATISTICS, "status", "why"} | METRICS) - {"seed"}
"""Columns of results besides the axes and the seed."""


class Axis(Record):
    """One dimension of the grid: values of one field, or named variants that change several.

    Attributes:
        field: dotted path of the field, with ``values``.
        values: one grid point each; labelled by themselves.
        variants: label -> {dotted path: value}.

    >>> [label for label, _ in Axis(field="split.alpha", values=(10.0, 0.3)).points()]
    [10.0, 0.3]
    """

    field: str | None = None
    values: tuple[Any, ...] | None = None
    variants: dict[str, dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _either(self) -> Axis:
        by_values = self.field is not None and self.values is not None
        if by_values == (self.variants is not None) or (self.field is None) != (self.values is None):
            raise ValueError("an axis needs either field and values, or variants")
        for path in (path for _, changes in self.points() for path in changes):
            if not all(split_path(path) or [""]):
                raise ValueError(f"{path!r} names no field; expected a dotted path such as 'split.alpha'")
        labels = [str(label) for label, _ in self.points()]
        if not labels:
            raise ValueError("an axis needs at least one point")
        for label, times in Counter(labels).items():
            if not label.isprintable():
                raise ValueError(f"the label {label!r} has characters that cannot be shown")
            if times > 1:
                raise ValueError(
                    f"two points of the axis have the label {label!r}; use variants to name them"
                )
        return self

    def points(self) -> list[tuple[Any, dict[str, Any]]]:
        """(label, {dotted path: value}) of each grid point; two numbers of the same value, 1 and 1.0, are one."""
        if self.variants is not None:
            return list(self.variants.items())
        numbers: set[float] = set()
        found = []
        for value in self.values or ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                if value in numbers:
                    continue
                numbers.add(value)
            found.append((_label(value), {self.field or "": value}))
        return found


def _label(value: Any) -> Any:
    if isinstance(value, dict):
        options = ", ".join(f"{k}={v}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')}({options})" if options else str(value.get("name"))
    return value if isinstance(value, int | float | str | bool) else str(value)


class Study(Record):
    """A study file.

    Attributes:
        seeds: of the runs of each cell.
        base: the experiment that the axes change.
        axes: name -> axis; the grid is their product.
        exclude: cells that are left out: {axis: label, or list of labels}; a cell goes if it has them all.
        reference: whose published numbers to show beside ours; ``fedskew.papers`` says which there are.
        claims: what its author says it will show; they change no run.
        audit: what makes it an audit of one defence, for its report; it changes no run.
        defaults: which set of defaults fills in what it leaves open (``components.earlier``).
        results: which version its results have (``components.identity``); only the present one can be computed.

    >>> study = Study(name="mine", seeds=(0, 1), axes={"alpha": Axis(field="split.alpha", values=(10.0, 0.3))},
    ...               base={"split": {"name": "dirichlet", "alpha": 1.0}})
    >>> len(planned_runs(study))
    4
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seeds: tuple[int, ...] = (0,)
    base: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Axis] = Field(default_factory=dict)
    exclude: tuple[dict[str, Any], ...] = ()
    reference: str | None = None
    claims: tuple[Claim, ...] = ()
    audit: Audit | None = None
    defaults: Literal[1, 2] = PRESENT
    results: Literal[1, 2] = VERSION

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("give at least one seed; seeds must be distinct and not negative")
        return value

    @field_validator("axes")
    @classmethod
    def _axes_are_no_columns(cls, value: dict[str, Axis]) -> dict[str, Axis]:
        for name in value:
            if not name.isprintable():
                raise ValueError(f"the name {name!r} has characters that cannot be shown")
            if name in COLUMNS or name.startswith("skew_"):
                raise ValueError(f"an axis cannot be called {name!r}, which is a column of the results")
        return value

    @model_validator(mode="after")
    def _seeds_are_seeds(self) -> Study:
        paths = [p for axis in self.axes.values() for _, changes in axis.points() for p in changes]
        if "seed" in self.base or "seed" in self.axes or "seed" in paths:
            raise ValueError(
                "a study's seeds are not a field of its base or an axis: give seeds = [0, 1, ...]"
            )
        return self


def excluded(study: Study, cell: dict[str, Any]) -> bool:
    """Whether a cell, {axis: label}, is one of those that the study leaves out."""
    return any(all(cell[axis] in _listed(labels) for axis, labels in rule.items()) for rule in study.exclude)


def _listed(labels: Any) -> list[Any]:
    return labels if isinstance(labels, list) else [labels]


def _check_exclude(study: Study, labels: dict[str, list[Any]], origin: Origin) -> None:
    """Refuses rules about axes or labels that the study does not have: they would exclude nothing."""
    for number, rule in enumerate(study.exclude):
        for axis, given in rule.items():
            path = ("exclude", str(number), axis)
            where = f"{origin.at(path)}: {'.'.join(path)}: "
            if axis not in labels:
                message, hint = unknown("axis", axis, labels)
                raise ConfigError(where + message, hint)
            for label in _listed(given):
                if label not in labels[axis]:
                    message, hint = unknown(f"label of {axis}", str(label), map(str, labels[axis]))
                    raise ConfigError(where + message, hint)


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid with one seed.

    Attributes:
        cell: axis -> label.
        origin: where its values come from.
    """

    cell: dict[str, Any]
    seed: int
    completed: Completed
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)

    @property
    def experiment(self) -> Experiment:
        """What is run, with all defaults filled in."""
        return self.completed.experiment

    @property
    def identity(self) -> str:
        """The name of its folder."""
        return self.completed.identity

    @property
    def title(self) -> str:
        """The cell and the seed in words."""
        return cell_in_words({**self.cell, "seed": self.seed})


def planned_runs(study: Study, origin: Origin | None = None) -> list[PlannedRun]:
    """All runs of a study, seeds outermost, so that an unfinished study has whole grids of its first seeds.

    Raises:
        ConfigError: some cell is not a valid experiment, or a claim is about something that the study does not
            have; names the field and the cell.
    """
    origin = origin or Origin(f"study {study.name}")
    names = list(study.axes)
    labels = {name: [label for label, _ in axis.points()] for name, axis in study.axes.items()}
    _check_exclude(study, labels, origin)
    usual = Experiment.model_validate(as_before({})) if study.defaults == FIRST else Experiment()
    found = []
    for point in itertools.product(*(axis.points() for axis in study.axes.values())):
        cell = {name: label for name, (label, _) in zip(names, point, strict=True)}
        if study.exclude and excluded(study, cell):
            continue
        content: dict[str, Any] = dict(study.base)
        for _, changes in point:
            for path, value in changes.items():
                content = with_override(content, split_path(path), value, usual)
        words = ", ".join(filter(None, [origin.name, cell_in_words(cell)]))
        moved = {
            tuple(split_path(path)): (
                "axes",
                name,
                *(("variants", str(label), path) if variants else ("values",)),
            )
            for name, (label, changes) in zip(names, point, strict=True)
            for variants in [study.axes[name].variants is not None]
            for path in changes
        }
        place = replace(origin, name=words, prefix=("base",), moved=moved)
        content = as_before(content) if study.defaults == FIRST else content
        found.append((cell, completed_experiment(content, place, study.results), place))
    if not found:
        raise ConfigError(f"{origin.at(('exclude',))}: exclude leaves no cell of the study")
    if study.audit is not None:
        check_audit(study.audit, labels, origin)
    check_claims(study.claims, labels, known_metrics(run.experiment for _, run, _ in found), origin)
    return [
        PlannedRun(cell, seed, run.with_seed(seed), place)
        for seed in study.seeds
        for cell, run, place in found
    ]


def completed_experiment(content: dict[str, Any], origin: Origin, version: int = VERSION) -> Completed:
    """The completed experiment of plain values; errors name the place."""
    record = build(Experiment, content, origin)
    with blamed(origin):
        return completed(record, version)
