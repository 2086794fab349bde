"""A study's folder: ``study.toml``, ``claims.jsonl`` and one folder per run below ``runs/``; all paths are relative.

The plan is derived from ``study.toml``, never stored. A study may grow (more seeds, more points); a
change that would orphan existing runs is refused with the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from fedskew.components.earlier import FIRST
from fedskew.components.identity import OLDEST, VERSION
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.config.toml_io import read_toml_text, write_toml
from fedskew.errors import ConfigError, RunError, nearest
from fedskew.files import differences, is_own_folder, replace_file, sweep
from fedskew.runs.folder import RUNS, RunFolder
from fedskew.runs.locks import BRIEF, locked
from fedskew.runs.status import Status, status_of
from fedskew.study.archive import is_archive, unpacked
from fedskew.study.grid import PlannedRun, Study, planned_runs
from fedskew.study.source import ARCHIVE_ENDING, STUDY_FILE, Source
from fedskew.study.stated import note_claims

OTHER_FOLDER = "choose another folder with --out"


@dataclass(frozen=True)
class StudyFolder:
    """A study, its plan and where it is kept.

    Attributes:
        origin: where the study's values come from, for errors.
        archive: the file that it was read from, if it is not kept in a folder.
    """

    path: Path
    study: Study
    planned: list[PlannedRun]
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)
    archive: Path | None = None

    @staticmethod
    def open(path: Path, study: Study, source: Source) -> StudyFolder:
        """The folder of a study that is about to run; made if there is none, its ``study.toml`` brought up to date.

        Raises:
            RunError: the folder holds runs that are not part of this study; says what differs. Or another process
                has held the folder for longer than it takes to do this.
        """
        with locked(path, BRIEF):
            stored = path / STUDY_FILE
            study = as_begun_in(path, study)
            planned = planned_runs(study, source.origin)
            if stored.exists():
                before, _ = _stored(path)
                orphans = {p.identity for p in planned_runs(before)} - {p.identity for p in planned}
                if any(RunFolder.below(path, name).path.exists() for name in orphans):
                    raise _another(path, before, study)
            if is_own_folder(path / RUNS):
                for plan in planned:
                    is_own_folder(RunFolder.below(path, plan.identity).path)
            sweep(path, older=BRIEF)
            replace_file(stored, write_toml(_plain(study)))
            note_claims(path, study.claims)
        return StudyFolder(path, study, planned, source.origin)

    @staticmethod
    def read(path: Path) -> StudyFolder:
        """A study that exists, in a folder or an archive (:mod:`fedskew.study.archive`).

        Raises:
            ConfigError: there is no study in this folder.
            RunError: the archive cannot be read.
        """
        if is_archive(path):
            return replace(StudyFolder.read(unpacked(path)), archive=path)
        stored = path / STUDY_FILE
        if not stored.exists():
            raise ConfigError(f"there is no study in {path}: it has no {STUDY_FILE}", _hint(path))
        study, origin = _stored(path)
        return StudyFolder(path, study, planned_runs(study, origin), origin)

    @staticmethod
    def find(name: str) -> StudyFolder:
        """A study that exists, by its folder or archive, or by its name below ``studies/``.

        Raises:
            ConfigError: there is none.
        """
        here, below = Path(name), studies_folder(name)
        try:
            for path in (here, below):
                if is_study(path) or is_archive(path):
                    return StudyFolder.read(path)
            if here.exists() or here.suffix == ".toml":
                return StudyFolder.read(here)
        except OSError as error:
            raise ConfigError(f"{name} cannot be read as a study's folder: {error.strerror}") from None
        place = below if len(here.parts) == 1 else here
        known = sorted(path.parent.name for path in place.parent.glob(f"*/{STUDY_FILE}"))
        message = f"there is no study in {name}" + (f" or {below}" if place is below else "")
        if not known:
            raise ConfigError(f"{message}; {place.parent} holds no other study", _hint(here))
        close = nearest(place.name, known)
        raise ConfigError(
            f"{message}; in {place.parent}: {', '.join(known)}",
            f"did you mean {str(place.parent / close) if place is here else close!r}?"
            if close
            else _hint(here),
        )

    @property
    def report(self) -> Path:
        """Where its report is written unless told otherwise."""
        if self.archive is None:
            return self.path / "report"
        return self.archive.with_name(f"{self.archive.name.removesuffix(ARCHIVE_ENDING)}-report")

    def run_folder(self, plan: PlannedRun) -> RunFolder:
        """Where a run is kept."""
        return RunFolder.below(self.path, plan.identity)

    def status(self, plan: PlannedRun, data_dir: Path | None = None) -> tuple[Status, str]:
        """Whether a run is done, and why not if it is not; arguments as of ``status_of``."""
        return status_of(self.run_folder(plan), plan.completed, data_dir)


def as_begun_in(path: Path, study: Study) -> Study:
    """The study with the defaults and the version of results with which a folder was begun, so that the same config
    still means the same runs.

    What the study states itself stays, and it is as it is if there is no study in the folder.
    """
    if not is_study(path):
        return study
    begun, _ = _stored(path)
    unsaid = {"defaults", "results"} - study.model_fields_set
    kept = {name: getattr(begun, name) for name in unsaid if getattr(begun, name) != getattr(study, name)}
    return study.model_copy(update=kept) if kept else study


def _stored(path: Path) -> tuple[Study, Origin]:
    """The study that a folder keeps, and where its values come from.

    A file that does not say which defaults it means, or which version its runs have, is older than the present ones.
    """
    file = path / STUDY_FILE
    content, text = read_toml_text(file)
    origin = Origin(str(file), text)
    begun = {"defaults": FIRST, "results": OLDEST if RunFolder.all_below(path) else VERSION}
    return build(Study, {**begun, **content}, origin), origin


def studies_folder(name: str) -> Path:
    """Where a study of this name is kept unless told otherwise."""
    return Path("studies") / name


def is_study(path: Path) -> bool:
    """Whether there is a study in a folder."""
    return (path / STUDY_FILE).exists()


def _hint(path: Path) -> str:
    """A hint where a study that was not found may be."""
    path = path.absolute()
    if path.is_dir() and path.parent.name == RUNS and is_study(path.parent.parent):
        return f"it is a run of the study {path.parent.parent}"
    if RunFolder(path).config.exists():
        return "it is a single run; `fedskew study CONFIG` makes a study of its experiment"
    if path.suffix == ".toml":
        return f"that is a config; `fedskew study {path}` runs it, in studies/NAME or in the folder given by --out"
    return "`fedskew study CONFIG` makes one"


def _another(path: Path, before: Study, study: Study) -> RunError:
    """What to tell of a folder that holds runs of another study."""
    if before.audit is not None and study.audit is not None:
        there, here = before.audit.defence, study.audit.defence
        if there != here:
            return RunError(f"{path} holds an audit of {there}, not of {here}", OTHER_FOLDER)
    unsaid = {"name", "description", "claims"}  # change no run
    stored, given = ({k: v for k, v in _plain(one).items() if k not in unsaid} for one in (before, study))
    changed = differences(stored, given)
    what = "an audit with other options" if before.audit is not None else "runs of another study"
    part = "" if before.audit is not None else "; `fedskew study --only` runs a part of a study"
    return RunError(
        f"{path} holds {what}:\n" + "\n".join(changed), f"{OTHER_FOLDER}, or undo the change{part}"
    )


def _plain(study: Study) -> dict[str, object]:
    plain: dict[str, object] = study.model_dump(mode="json", exclude_none=True)
    return plain
