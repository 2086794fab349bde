"""Running what is missing from a study, for the commands that do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedskew.cli.app import show, show_reason

if TYPE_CHECKING:
    from fedskew.runs.events import Ended
    from fedskew.study.folder import StudyFolder
    from fedskew.study.grid import PlannedRun, Study
    from fedskew.study.source import Source


@dataclass(frozen=True)
class How:
    """The options of a command that runs a study, as they were given.

    Attributes:
        on, gpu_share: where to run (``study.places``).
        shard: which part of the runs (``study.shard``).
        reuse: studies whose complete runs are taken (``study.reuse``).
    """

    jobs: int | None
    device: str
    engine: Any
    client_state: Any
    checkpoint_every: float
    data_dir: Path | None
    offline: bool
    plugins: Sequence[str]
    trackers: Sequence[str]
    quiet: bool
    on: str | None = None
    gpu_share: float | None = None
    shard: str | None = None
    reuse: Sequence[str] = ()


@dataclass(frozen=True)
class Ran:
    """A study whose missing runs have been done.

    Attributes:
        wanted: the runs that were asked for.
        failed: those that failed, and why.
    """

    folder: StudyFolder
    wanted: list[PlannedRun]
    failed: list[tuple[PlannedRun, str]]


def run_study(
    record: Study,
    source: Source,
    place: Path,
    only: Sequence[str],
    how: How,
    essential: Callable[[PlannedRun], bool] = lambda plan: False,
) -> Ran:
    """Runs what is missing.

    Args:
        essential: runs without which the others are of no use: where one of them fails in its first round, no other is
            begun.

    Raises:
        FailedRunError: an essential run failed in its first round.
        FedskewError: nothing can be done; one sentence.
    """
    from fedskew.study.folder import StudyFolder, as_begun_in, is_study
    from fedskew.study.pool import warm_up

    if not is_study(place) and how.on is None:
        warm_up()  # everything is to be done

    from fedskew.papers import check_reference
    from fedskew.study.grid import planned_runs
    from fedskew.study.impossible import refuse_impossible
    from fedskew.study.places import find_place
    from fedskew.study.reuse import find_reused, reuse
    from fedskew.study.select import select
    from fedskew.study.shard import Shard
    from fedskew.trackers.tracking import check_trackers

    where, others = find_place(how.on, how.device, how.gpu_share), find_reused(how.reuse)
    check_trackers(how.trackers)
    check_reference(record, source.origin)
    given, record = record, as_begun_in(place, record)
    everything = planned_runs(record, source.origin)
    wanted = select(everything, only)
    if how.shard is not None:
        wanted = Shard.read(how.shard).part_of(wanted)
    refuse_impossible(place, wanted)  # before it is compared with the study that is stored there
    if record.defaults != given.defaults:
        present = planned_runs(given, source.origin)
        if [plan.experiment for plan in everything] != [plan.experiment for plan in present]:
            tell_of_defaults(place)
    tell_of_version(place, record.results)
    folder = StudyFolder.open(place, record, source)
    tell_of_locks(place)

    from fedskew.config import Execution, default_jobs
    from fedskew.errors import FailedRunError
    from fedskew.study.missing import missing_runs, run_missing
    from fedskew.study.tasks import WorkerSetup
    from fedskew.terminal.progress import display

    execution = Execution(
        how.data_dir,
        not how.offline,
        how.device,
        engine=how.engine,
        client_state=how.client_state,
        checkpoint_every=how.checkpoint_every,
    )
    if how.device != "cpu" and how.on is None:
        from fedskew.federation.device import check_device

        check_device(how.device)  # once, instead of in every run
    setup = WorkerSetup(execution, tuple(how.plugins), tuple(how.trackers))
    missing = missing_runs(folder, wanted)
    if others:
        tell_of_reused(reuse(folder, missing, others))
        missing = missing_runs(folder, wanted)
    jobs = how.jobs or (default_jobs(how.device) if how.on is None else None)
    titles, limits = [plan.title for plan in missing], [plan.experiment.rounds for plan in missing]
    with display(titles, limits, jobs, how.quiet) as shown:
        useless: list[PlannedRun] = []

        def enough(plan: PlannedRun, ended: Ended) -> bool:
            if ended.rounds == 0 and not ended.died and essential(plan):
                useless.append(plan)
            return bool(useless)

        failed = run_missing(folder, missing, jobs, setup, shown.see, enough, place=where)
    if useless:
        reasons = {plan.identity: reason for plan, reason in failed}
        message, _, hint = reasons[useless[0].identity].partition(
            "\nhint: "
        )  # as ``FedskewError`` shows them
        raise FailedRunError(f"{useless[0].title}: {message}", hint or None)
    return Ran(folder, wanted, failed)


def tell_of_reasons(folder: StudyFolder) -> None:
    """Prints the serious reasons to distrust that single runs give; all reasons are in the report."""
    from fedskew.analysis import reasons_of_each

    for found in reasons_of_each(folder.planned, folder.path, folder.study.audit):
        if found.severity == "serious":
            show_reason(found, err=True)


def tell_of_failures(ran: Ran) -> None:
    """Prints which runs failed, if any did."""
    if not ran.failed:
        return
    print(f"\n{len(ran.failed)} of {len(ran.wanted)} runs failed:", file=sys.stderr)
    for planned, reason in ran.failed:
        run = ran.folder.run_folder(planned).path.relative_to(ran.folder.path)
        show(f"  {planned.title} ({run}): {reason}", err=True)
    print("rerun the same command to retry them", file=sys.stderr)


def tell_of_reused(taken: dict[Path, int]) -> None:
    """Says how many complete runs were taken from other studies."""
    from fedskew.wording import count

    for other, number in taken.items():
        print(f"note: {count(number, 'complete run')} copied from {other}", file=sys.stderr)


def tell_of_locks(place: Path) -> None:
    """Says that processes on other machines are not kept out of the runs that are done here, if so."""
    from fedskew.runs.mounts import locks_only_here

    if why := locks_only_here(place):
        print(
            f"note: {place} is on {why}: its locks do not reach other machines, which could do the same runs at once "
            "(docs/scale.md)",
            file=sys.stderr,
        )


def tell_of_defaults(place: Path) -> None:
    """Says that a folder keeps the defaults with which it was begun."""
    print(
        f"note: {place} was begun with the defaults of an earlier version and keeps them (docs/config.md, Defaults)",
        file=sys.stderr,
    )


def tell_of_version(place: Path, version: int) -> None:
    """Says that the results in a folder are of an earlier version, if they are."""
    from fedskew.components.identity import VERSION

    if version != VERSION:
        print(
            f"note: {place} holds results of an earlier version, whose numbers differ from those of this version by "
            "rounding (docs/config.md, Versions of results)",
            file=sys.stderr,
        )
