"""Identical runs of two studies are done once: ``--reuse FOLDER`` copies those that are complete in another folder.

A run's name is the hash of what determines it, so the same name means the same run. What lies in the other folder is
believed only if its config really has this name and its records are whole; a plug-in or a file of data that has
changed since makes it another run, as it would in the study itself.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedskew.errors import ConfigError, FedskewError
from fedskew.files import copy_file, sync_folder
from fedskew.runs.folder import RUNS, RunFolder
from fedskew.runs.inputs import each_read_once
from fedskew.runs.status import status_of
from fedskew.runs.whole import check_unchanged
from fedskew.study.folder import StudyFolder, studies_folder
from fedskew.study.grid import PlannedRun


def find_reused(names: Iterable[str]) -> list[Path]:
    """The folders of studies, each given by its path or its name below ``studies/``.

    Raises:
        ConfigError: there is none.
    """
    found = []
    for name in names:
        path = Path(name) if (Path(name) / RUNS).is_dir() else studies_folder(name)
        if not (path / RUNS).is_dir():
            raise ConfigError(f"--reuse {name}: there is no study; expected a study's folder or its name")
        found.append(path)
    return found


def reuse(
    folder: StudyFolder,
    missing: Sequence[PlannedRun],
    others: Sequence[Path],
    data_dir: Path | None = None,
) -> dict[Path, int]:
    """Copy the complete runs that a study lacks and another one has; one that is begun here is left alone.

    Args:
        others: folders of studies; of the first that has a run it is taken.
        data_dir: the data root; None for ``$FEDSKEW_DATA`` or the user's cache folder.

    Returns:
        How many were taken from each.
    """
    taken = dict.fromkeys(others, 0)
    with each_read_once():
        for plan in missing:
            here = folder.run_folder(plan)
            if here.path.exists():
                continue
            for other in others:
                there = RunFolder.below(other, plan.identity)
                if there != here and is_whole(there, plan, data_dir) and _copy(there, here):
                    taken[other] += 1
                    break
    return taken


def is_whole(there: RunFolder, plan: PlannedRun, data_dir: Path | None = None) -> bool:
    """Whether a folder holds this very run, complete, and nothing that it wrote is missing or damaged."""
    if not there.result.exists() or status_of(there, plan.completed, data_dir)[0] != "done":
        return False
    try:
        there.read_records()
        result = there.read_result()
        check_unchanged(there.weights, {} if result is None else result.checksums)
    except (FedskewError, OSError):
        return False
    return True


def _copy(there: RunFolder, here: RunFolder) -> bool:
    """Whether the copy is in its place now: it gets there whole, by one rename, and never over a run that another
    process has begun in the meantime."""
    part = here.path.with_name(f"{here.name}~{uuid.uuid4().hex[:8]}")  # "~": no run of the study
    try:
        part.mkdir(parents=True)
        for path in there.files:
            if path.is_file():
                copy_file(path, part / path.name)
        part.rename(here.path)
        sync_folder(here.path.parent)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        return False
    return True
