"""Finding a config: a TOML file or a preset, with ``--set`` overrides, as an experiment or a study."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedskew.components.completed import Completed, completed
from fedskew.components.earlier import FIRST, as_before
from fedskew.components.identity import OLDEST, VERSION
from fedskew.config import Experiment
from fedskew.config.build import build
from fedskew.config.origin import Origin, split_path
from fedskew.config.toml_io import parse_override, read_toml, read_toml_text, with_override
from fedskew.errors import ConfigError, FedskewError, unknown
from fedskew.presets import preset_names, preset_path
from fedskew.runs.folder import RUNS, RunFolder
from fedskew.study.grid import Study, completed_experiment

STUDY_FILE = "study.toml"
"""What makes a folder that of a study."""
ARCHIVE_ENDING = ".tar.xz"
"""What a file with the records of a study is called (:mod:`fedskew.study.archive`)."""


@dataclass(frozen=True)
class Source:
    """A config as it was found: plain values, and where they come from.

    Attributes:
        slug: a name for folders, from the file's.
        folder: of the study that it is kept in, with its runs; None for any other file.
    """

    content: dict[str, Any]
    origin: Origin
    slug: str
    folder: Path | None = None

    @property
    def is_study(self) -> bool:
        """Whether it describes a study rather than one experiment."""
        return _is_study(self.content)


def _is_study(content: dict[str, Any]) -> bool:
    return any(key in content for key in ("base", "axes", "seeds"))


def find_config(name: str, overrides: Sequence[str] = ()) -> Source:
    """A TOML file by its path, a study by its folder, or a preset by its name, with ``--set`` overrides applied.

    An override names a field of the experiment; in a study it changes the base, or the study itself where it
    names one of the study's own fields (``seeds``, ``name``, ``axes``, ...).

    Raises:
        ConfigError: there is none, it is not TOML, or an override would be overruled by an axis.
    """
    path = Path(name)
    if path.name.endswith(ARCHIVE_ENDING):
        raise ConfigError(
            f"{name} is an archive of records, which is not added to",
            f"`fedskew report {name}` reads it; `tar xf` makes it a study's folder",
        )
    if (path / STUDY_FILE).is_file():
        path /= STUDY_FILE
    kept = path.parent if path.name == STUDY_FILE and (path.parent / RUNS).is_dir() else None
    if path.suffix == ".toml" or path.is_file():
        title = str(path)
    else:
        shipped = preset_path(name)
        if shipped is None:
            message, hint = unknown("preset", name, preset_names())
            raise ConfigError(message, hint or "or give the path of a .toml file")
        path, title = shipped, f"preset {name}"
    content, text = read_toml_text(path)
    given = []
    for assignment in overrides:
        field, value = parse_override(assignment)
        if not _is_study(content):
            content = with_override(content, field, value, Experiment())
        else:
            if field[0] in Study.model_fields and field[0] != "base":
                content = with_override(content, field, value)
            else:
                field = field[field[0] == "base" :]
                _refuse_overruled(content, field)
                base = content.get("base", {})
                content = {**content, "base": with_override(base, field, value, Experiment())}
                field = ["base", *field]
        given.append(tuple(field))
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._") or "experiment"
    return Source(content, Origin(title, text, tuple(given)), slug, kept)


def _refuse_overruled(content: dict[str, Any], field: list[str]) -> None:
    """An axis all of whose points set the same field (or the table around it) would win silently."""
    axes = content.get("axes", {})
    for name, axis in axes.items() if isinstance(axes, dict) else ():
        variants = axis.get("variants", {}) if isinstance(axis, dict) else {}
        points = [[axis["field"]]] if isinstance(axis, dict) and "field" in axis else list(variants.values())
        paths = [[split_path(str(path)) for path in point] for point in points]
        if paths and all(any(path == field[: len(path)] for path in point) for point in paths):
            part = "variants" if variants else "values"
            raise ConfigError(
                f"{'.'.join(field)} is set by the axis {name!r}, which would overrule it",
                f"--only {name}=... for some of its points, or --set axes.{name}.{part}=... for others",
            )


def as_study(source: Source) -> Study:
    """The study of a config; an experiment becomes a study of one cell.

    Raises:
        ConfigError: unknown or malformed fields.
    """
    if source.is_study:
        # What is kept with its runs means what it meant when they were begun, in another folder too.
        begun = {"defaults": FIRST} if source.folder else {}
        return build(Study, {**begun, **source.content}, source.origin)
    experiment = build(Experiment, source.content, source.origin)
    base = {name: value for name, value in source.content.items() if name != "seed"}
    return Study(name=source.slug, seeds=(experiment.seed,), base=base)


def as_experiment(source: Source) -> Completed:
    """The experiment of a config, completed.

    Raises:
        ConfigError: it is a study, or has unknown or malformed fields.
    """
    if source.is_study:
        raise ConfigError(f"{source.origin.name} is a study, not one experiment", "use `fedskew study`")
    return completed_experiment(source.content, source.origin)


def as_begun(source: Source, folder_of: Callable[[Completed], RunFolder]) -> tuple[Completed, RunFolder]:
    """The experiment of a config and its folder: with the earlier defaults, or of an earlier version, where only such a
    run of it was begun, so that it is found; else with the present ones.

    Args:
        folder_of: where a run of this experiment is kept.
    """
    now = as_experiment(source)
    meanings = [now, *_before(source)]
    for version in range(VERSION, OLDEST - 1, -1):
        for run in (replace(meaning, version=version) for meaning in meanings):
            if _is_begun(folder_of(run), run):
                return run, folder_of(run)
    return now, folder_of(now)


def _before(source: Source) -> list[Completed]:
    """The experiment with the earlier defaults; none where it is refused with them, so that it was never begun."""
    try:
        return [completed_experiment(as_before(source.content), source.origin)]
    except ConfigError:
        return []


def _is_begun(folder: RunFolder, run: Completed) -> bool:
    if not folder.config.exists():
        return False
    try:
        stored = Experiment.model_validate(read_toml(folder.config))
        return completed(stored, folder.read_version()).identity == run.identity
    except (
        FedskewError
    ):  # damaged, or not a config of ours: what is done with it is said where the run begins
        return False
