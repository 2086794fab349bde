"""Doing the missing runs of a study: which runs, in which order, and whose rounds they can share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fedskew.components.completed import completed
from fedskew.config import Experiment
from fedskew.config.toml_io import read_toml
from fedskew.errors import FedskewError
from fedskew.runs.events import Ended, Event
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import each_read_once
from fedskew.study.agenda import Place
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun
from fedskew.study.impossible import prepare_data, refuse_impossible
from fedskew.study.pool import run_all, warm_up
from fedskew.study.tasks import Task, WorkerSetup
from fedskew.trackers.tracking import TrackedRun


def missing_runs(
    folder: StudyFolder, wanted: Sequence[PlannedRun], data_dir: Path | None = None
) -> list[PlannedRun]:
    """The wanted runs that are not done, each once, in the order in which they are to be done.

    Args:
        data_dir: the data root; None for ``$FEDSKEW_DATA`` or the user's cache folder.
    """
    distinct: dict[str, PlannedRun] = {}
    for plan in wanted:
        distinct.setdefault(plan.identity, plan)  # a run of several cells is called by the first
    with each_read_once():
        return shorter_first([p for p in distinct.values() if folder.status(p, data_dir)[0] != "done"])


def run_missing(
    folder: StudyFolder,
    missing: Sequence[PlannedRun],
    jobs: int | None,
    setup: WorkerSetup,
    observe: Callable[[Event], None] = lambda event: None,
    enough: Callable[[PlannedRun, Ended], bool] = lambda plan, ended: False,
    extend: Sequence[RunFolder] = (),
    place: Place = run_all,
) -> list[tuple[PlannedRun, str]]:
    """Do runs of a study, ``jobs`` at a time. Other processes may do runs of the same study meanwhile; what they are
    doing is waited for.

    Args:
        missing: as ``missing_runs`` gives them; events name a run by its position here.
        observe: called in this process with every event.
        enough: whether to stop after a run that has failed.
        extend: folders of runs elsewhere whose rounds they may continue from; these stay as they are.
        place: where they are done; on this machine unless given.

    Returns:
        The runs that failed, with the reason.

    Raises:
        ConfigError: a component's option has an impossible value, or an attack does not fit its data set; found
            out before anything starts.
        RunError: the study's results are of an earlier version.
        DataError: the data cannot be had, found out before anything starts.
    """
    if not missing:
        return []
    if place is run_all:
        warm_up()
    refuse_impossible(folder.path, missing, setup.execution.data_dir)
    prepare_data(missing, setup.execution)
    others = relatives(folder.path, folder.planned, extend)
    tasks = [
        Task(
            folder.run_folder(plan),
            plan.completed,
            TrackedRun(folder.study.name, folder.path, plan.completed, {**plan.cell, "seed": plan.seed}),
            others[plan.completed.rounds_identity],
        )
        for plan in missing
    ]
    failed = place(tasks, jobs, setup, observe, lambda ended: enough(missing[ended.task], ended))
    return [(missing[number], reason) for number, reason in sorted(failed.items())]


def relatives(
    path: Path, planned: Sequence[PlannedRun], extend: Sequence[RunFolder] = ()
) -> dict[str, tuple[RunFolder, ...]]:
    """The folders of a study's runs that have their rounds in common, by ``rounds_identity``: its own, complete ones
    that were copied there from another study, and complete ones elsewhere.

    Args:
        path: the study's folder.
        extend: those elsewhere.
    """
    found: dict[str, dict[RunFolder, None]] = {}
    for plan in planned:
        found.setdefault(plan.completed.rounds_identity, {})[RunFolder.below(path, plan.identity)] = None
    own = {plan.identity for plan in planned}
    for folder in (*(one for one in RunFolder.all_below(path) if one.name not in own), *extend):
        if (rounds := rounds_kept_in(folder)) is not None:
            found.setdefault(rounds, {})[folder] = None
    return {rounds: tuple(folders) if len(folders) > 1 else () for rounds, folders in found.items()}


def rounds_kept_in(folder: RunFolder) -> str | None:
    """The identity of the rounds of a complete run (``Completed.rounds_identity``); None if it is not complete, or its
    config cannot be read."""
    if folder.result.exists():
        with suppress(FedskewError, ValueError):
            run = completed(Experiment.model_validate(read_toml(folder.config)), folder.read_version())
            return run.rounds_identity
    return None


def shorter_first(missing: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The same runs, reordered among those that differ only in the limit of their rounds, so that the longer ones
    can continue from the shorter ones."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, plan in enumerate(missing):
        key = (plan.completed.rounds_identity, plan.experiment.stopping.model_dump_json())
        places.setdefault(key, []).append(place)
    found = list(missing)
    for group in places.values():
        ordered = sorted((missing[place] for place in group), key=lambda plan: plan.experiment.rounds)
        for place, plan in zip(group, ordered, strict=True):
            found[place] = plan
    return found
