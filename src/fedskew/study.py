"""A study: a base experiment, axes that change fields of it, seeds. Grid x seeds -> planned runs.

Runs are named by the hash of what determines them, so a run that two cells share is done once, a study that
grows keeps what it has, and a copied folder is still right.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fedskew.config import Experiment, Record
from fedskew.errors import ConfigError, FedskewError, unknown
from fedskew.files import read_lines
from fedskew.identity import identity
from fedskew.presets import preset_names, preset_path
from fedskew.registry import complete_experiment
from fedskew.runs import read_result
from fedskew.toml_io import build, line_of, parse_override, read_toml, split_path, with_override


class Axis(Record):
    """One dimension of the grid: values of one field, or named variants that change several.

    Attributes:
        field: dotted path of the field, with ``values``.
        values: one grid point each; labelled by themselves.
        variants: label -> {dotted path: value}.
    """

    field: str | None = None
    values: tuple[Any, ...] | None = None
    variants: dict[str, dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _either(self) -> Axis:
        by_values = self.field is not None and self.values is not None
        if by_values == (self.variants is not None) or (self.field is None) != (self.values is None):
            raise ValueError("an axis needs either field and values, or variants")
        if not (self.values or self.variants):
            raise ValueError("an axis needs at least one point")
        return self

    def points(self) -> list[tuple[Any, dict[str, Any]]]:
        """(label, {dotted path: value}) of each grid point."""
        if self.variants is not None:
            return list(self.variants.items())
        return [(_label(value), {self.field or "": value}) for value in self.values or ()]


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
        reference: whose published numbers to show beside ours.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    base: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Axis] = Field(default_factory=dict)
    reference: Literal["fashion-mnist", "cifar-10"] | None = None

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("seeds must be distinct and not negative")
        return value


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid with one seed.

    Attributes:
        cell: axis -> label.
    """

    cell: dict[str, Any]
    seed: int
    experiment: Experiment

    @cached_property
    def identity(self) -> str:
        """The name of its folder."""
        return identity(self.experiment)

    @property
    def title(self) -> str:
        """The cell and the seed in words."""
        return ", ".join([*(f"{axis} {label}" for axis, label in self.cell.items()), f"seed {self.seed}"])


def planned_runs(study: Study, source: str = "the study", text: str | None = None) -> list[PlannedRun]:
    """All runs of a study, seeds outermost, so that an unfinished study has whole grids of its first seeds.

    Raises:
        ConfigError: some cell is not a valid experiment; names the field and the cell.
    """
    names = list(study.axes)
    found = []
    for point in itertools.product(*(axis.points() for axis in study.axes.values())):
        cell = {name: label for name, (label, _) in zip(names, point, strict=True)}
        content: dict[str, Any] = dict(study.base)
        for _, changes in point:
            for path, value in changes.items():
                content = with_override(content, split_path(path), value)
        where = f"{source}, {', '.join(f'{a} {v}' for a, v in cell.items())}" if cell else source
        found.append((cell, _experiment(content, where, text, ("base",))))
    return [
        PlannedRun(cell, seed, record.model_copy(update={"seed": seed}))
        for seed in study.seeds
        for cell, record in found
    ]


def _experiment(
    content: dict[str, Any], where: str, text: str | None, prefix: tuple[str, ...] = ()
) -> Experiment:
    """The experiment of plain values, its components' names and options checked; errors name the line."""
    record = build(Experiment, content, source=where, text=text, prefix=prefix)
    try:
        return complete_experiment(record)
    except ConfigError as error:
        line = line_of(text, [*prefix, *(error.field or "").split(".")]) if text else None
        at = f"{where}{f', line {line}' if line else ''}"
        raise ConfigError(f"{at}: {error.message}", error.hint, error.field) from None


@dataclass(frozen=True)
class Source:
    """A config as it was found: plain values, the TOML text for line numbers, and what to call it."""

    content: dict[str, Any]
    text: str
    name: str

    @property
    def is_study(self) -> bool:
        """Whether it describes a study rather than one experiment."""
        return any(key in self.content for key in ("base", "axes", "seeds"))


def find_config(name: str, overrides: Sequence[str] = ()) -> Source:
    """A TOML file by its path, or a preset by its name, with ``--set`` overrides applied.

    An override names a field of the experiment; in a study it changes the base, or the study itself where it
    names one of the study's own fields (``seeds``, ``name``, ``axes``, ...).

    Raises:
        ConfigError: there is none, it is not TOML, or an override would be overruled by an axis.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        title = str(path)
    else:
        shipped = preset_path(name)
        if shipped is None:
            message, hint = unknown("preset", name, preset_names())
            raise ConfigError(message, hint or "or give the path of a .toml file")
        path, title = shipped, f"preset {name}"
    content = read_toml(path)
    source = Source(content, path.read_text(encoding="utf-8"), title)
    for assignment in overrides:
        field, value = parse_override(assignment)
        if source.is_study and field[0] not in Study.model_fields:
            _refuse_overruled(content, field)
            field = ["base", *field]
        content = with_override(content, field, value)
    return Source(content, source.text, title)


def _refuse_overruled(content: dict[str, Any], field: list[str]) -> None:
    """An axis that sets the same field would win silently."""
    for name, axis in content.get("axes", {}).items():
        if isinstance(axis, dict) and split_path(str(axis.get("field", ""))) == field:
            raise ConfigError(
                f"{'.'.join(field)} is set by the axis {name!r}, which would overrule it",
                f"--set axes.{name}.values=[...], or --only {name}=... for some of its points",
            )


def as_study(source: Source) -> Study:
    """The study of a config; an experiment becomes a study of one cell.

    Raises:
        ConfigError: unknown or malformed fields.
    """
    if source.is_study:
        return build(Study, source.content, source=source.name, text=source.text)
    experiment = build(Experiment, source.content, source=source.name, text=source.text)
    name = Path(source.name.removeprefix("preset ")).stem
    return Study(name=name, seeds=(experiment.seed,), base=source.content)


def as_experiment(source: Source) -> Experiment:
    """The experiment of a config.

    Raises:
        ConfigError: it is a study, or has unknown or malformed fields.
    """
    if source.is_study:
        raise ConfigError(f"{source.name} is a study, not one experiment", "use fedskew study")
    return _experiment(source.content, source.name, source.text)


Status = Literal["done", "to do", "to do again"]


def status_of(folder: Path) -> tuple[Status, str]:
    """Whether a run's folder is done, and if not, why it is to be done (again) and from where."""
    try:
        result = read_result(folder)
        if result is not None:
            return "done", f"{result.rounds} rounds; {result.stopped}"
        rounds = len(read_lines(folder / "rounds.jsonl"))
        failure = folder / "failure.json"
        if failure.exists():
            import json

            reason = str(json.loads(failure.read_text(encoding="utf-8")).get("reason", "")).splitlines()
            return (
                "to do again",
                f"failed after {rounds} rounds: {reason[0] if reason else 'no reason given'}",
            )
        if rounds:
            return "to do again", f"interrupted; goes on behind round {rounds}"
        return "to do", "not started"
    except (FedskewError, ValueError) as error:
        return "to do again", str(error).splitlines()[0]
