"""A study's folder: ``study.toml`` and one folder per run below ``runs/``. Everything inside is relative.

The plan is derived from ``study.toml``, never stored beside it. A study may grow (more seeds, more points); a
change that would orphan runs which are already there is refused with the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedskew.components.binding import build_attack, check_experiment
from fedskew.components.identity import rounds_identity
from fedskew.components.known import is_built_in
from fedskew.config import Execution
from fedskew.config.build import build
from fedskew.config.origin import Origin, blamed
from fedskew.config.toml_io import read_toml, write_toml
from fedskew.errors import ConfigError, RunError, nearest
from fedskew.files import differences, replace_file
from fedskew.protocols import DatasetInfo
from fedskew.runs.locks import locked
from fedskew.runs.status import Status, status_of
from fedskew.study.grid import PlannedRun, Study, planned_runs
from fedskew.study.order import relatives, shorter_first
from fedskew.study.pool import Task, run_all
from fedskew.study.source import Source
from fedskew.terminal.progress import display
from fedskew.trackers.tracking import TrackedRun


@dataclass(frozen=True)
class StudyFolder:
    """A study, its plan and where it is kept."""

    path: Path
    study: Study
    planned: list[PlannedRun]

    @staticmethod
    def open(path: Path, study: Study, source: Source) -> StudyFolder:
        """The folder of a study that is about to run; made if there is none, its ``study.toml`` brought up to date.

        Raises:
            RunError: the folder holds runs that are not part of this study (any more); says what differs.
        """
        planned = planned_runs(study, source.origin)
        with locked(path):
            stored = path / "study.toml"
            if stored.exists():
                before = build(Study, read_toml(stored), Origin(str(stored)))
                orphans = {p.identity for p in planned_runs(before)} - {p.identity for p in planned}
                if any((path / "runs" / name).exists() for name in orphans):
                    changed = differences(_plain(before), _plain(study))
                    raise RunError(
                        f"{path} holds runs of another study:\n" + "\n".join(changed),
                        "choose another folder with --out, undo the change, or use --only to do a part of a study",
                    )
            replace_file(stored, write_toml(_plain(study)))
        return StudyFolder(path, study, planned)

    @staticmethod
    def read(path: Path) -> StudyFolder:
        """A study that is already there.

        Raises:
            ConfigError: there is no study in this folder.
        """
        stored = path / "study.toml"
        if not stored.exists():
            raise ConfigError(f"there is no study in {path}: it has no study.toml", _hint(path))
        content = read_toml(stored)
        origin = Origin(str(stored), stored.read_text(encoding="utf-8"))
        study = build(Study, content, origin)
        return StudyFolder(path, study, planned_runs(study, origin))

    @staticmethod
    def find(name: str) -> StudyFolder:
        """A study that is already there, by its folder or by its name below ``studies/``.

        Raises:
            ConfigError: there is none.
        """
        here, below = Path(name), Path("studies") / name
        try:
            for path in (here, below):
                if (path / "study.toml").exists():
                    return StudyFolder.read(path)
            if here.exists() or here.suffix == ".toml":
                return StudyFolder.read(here)
        except OSError as error:
            raise ConfigError(f"there can be no study in {name}: {error.strerror}") from None
        place = below if len(here.parts) == 1 else here
        known = sorted(path.parent.name for path in place.parent.glob("*/study.toml"))
        message = f"there is no study in {name}" + (f" or {below}" if place is below else "")
        if not known:
            raise ConfigError(f"{message}, and none beside it", _hint(here))
        close = nearest(place.name, known)
        raise ConfigError(
            f"{message}; in {place.parent}: {', '.join(known)}",
            f"did you mean {str(place.parent / close) if place is here else close!r}?"
            if close
            else _hint(here),
        )

    def run_folder(self, plan: PlannedRun) -> Path:
        """Where a run is kept."""
        return self.path / "runs" / plan.identity

    def status(self, plan: PlannedRun) -> tuple[Status, str]:
        """Whether a run is done, and why not if it is not."""
        return status_of(self.run_folder(plan), plan.experiment)

    def run_missing(
        self,
        wanted: Sequence[PlannedRun],
        jobs: int,
        execution: Execution,
        plugins: Sequence[str] = (),
        quiet: bool = False,
        trackers: Sequence[str] = (),
    ) -> list[tuple[PlannedRun, str]]:
        """Does the wanted runs that are not done.

        Returns:
            Those that failed, with the reason.

        Raises:
            ConfigError: a component's option has an impossible value, or an attack does not fit its data set; found
                out before anything starts.
            RunError: another process works on this study.
            DataError: the data cannot be had, found out before anything starts.
        """
        distinct: dict[str, PlannedRun] = {}
        for plan in wanted:
            distinct.setdefault(plan.identity, plan)  # a run of several cells is called by the first
        missing = [plan for plan in distinct.values() if self.status(plan)[0] != "done"]
        if not missing:
            return []
        refuse_impossible(self.path, missing)
        with locked(self.path):
            self._prepare(missing, execution)
            missing, others = shorter_first(missing), relatives(self.path, self.planned)
            tasks = [
                Task(
                    self.run_folder(plan),
                    plan.experiment,
                    self._tracked(plan),
                    others[rounds_identity(plan.experiment)],
                )
                for plan in missing
            ]
            titles = [plan.title for plan in missing]
            limits = [plan.experiment.rounds for plan in missing]
            with display(titles, limits, jobs, quiet) as shown:
                failed = run_all(tasks, jobs, execution, shown.see, plugins, trackers)
        return [(missing[number], reason) for number, reason in sorted(failed.items())]

    def _tracked(self, plan: PlannedRun) -> TrackedRun:
        return TrackedRun(self.study.name, self.path, plan.experiment, {**plan.cell, "seed": plan.seed})

    @staticmethod
    def _prepare(missing: Sequence[PlannedRun], execution: Execution) -> None:
        """Gets every built-in data set once, so that workers find it and a download shows one progress bar; and
        refuses an attack that does not fit its data set (a target class that is not there) before a run starts."""
        from fedskew import datasets
        from fedskew.federation.world import load_data

        infos: dict[str, DatasetInfo] = {}
        tried = set()
        for plan in missing:
            data, attack = plan.experiment.data, plan.experiment.attack
            if not isinstance(data.name, str) or data.name not in datasets.names():
                continue
            key, check = data.model_dump_json(), is_built_in("attack", attack)
            if key not in infos and (check or datasets.where(data.name, execution.data_dir).sources):
                infos[key] = load_data(plan.experiment, execution).info
            if check and (both := (key, attack.model_dump_json())) not in tried:
                tried.add(both)
                with blamed(plan.origin):
                    build_attack(attack, infos[key])


def refuse_impossible(path: Path, wanted: Sequence[PlannedRun]) -> None:
    """Holds every option of the wanted runs that are not done against its component, which is imported for it; those
    that are done need no plug-in any more.

    Args:
        path: the study's folder, which need not be there.

    Raises:
        ConfigError: an option has an impossible value; says where it stands.
    """
    for plan in wanted:
        if status_of(path / "runs" / plan.identity, plan.experiment)[0] != "done":
            with blamed(plan.origin):
                check_experiment(plan.experiment)


def _hint(path: Path) -> str:
    """Where the study may be that somebody looked for in the wrong place."""
    path = path.absolute()
    if path.is_dir() and path.parent.name == "runs" and (path.parent.parent / "study.toml").exists():
        return f"it is a run of the study {path.parent.parent}"
    if (path / "config.toml").exists():
        return "it is a single run; fedskew study CONFIG makes a study of its experiment"
    if path.suffix == ".toml":
        return f"that is a config; fedskew study {path} does it, in studies/NAME unless --out says otherwise"
    return "fedskew study makes one"


def _plain(study: Study) -> dict[str, object]:
    plain: dict[str, object] = study.model_dump(mode="json", exclude_none=True)
    return plain
