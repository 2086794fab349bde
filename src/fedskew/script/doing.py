"""Running what is missing from a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedskew.config import default_jobs
from fedskew.errors import FailedRunError
from fedskew.papers import check_reference
from fedskew.runs.events import Ended
from fedskew.script.extend import rounds_in_common, tell_of_extended
from fedskew.script.how import How
from fedskew.script.tell import tell_of_defaults, tell_of_locks, tell_of_reused, tell_of_version
from fedskew.study.folder import StudyFolder, as_begun_in
from fedskew.study.grid import PlannedRun, Study, planned_runs
from fedskew.study.impossible import refuse_impossible
from fedskew.study.missing import missing_runs, run_missing
from fedskew.study.places import find_place
from fedskew.study.reuse import find_reused, reuse
from fedskew.study.select import select
from fedskew.study.shard import Shard
from fedskew.study.source import Source
from fedskew.study.tasks import WorkerSetup
from fedskew.terminal.progress import display
from fedskew.trackers.tracking import check_trackers


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


def do_study(
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
    where, others = find_place(how.on, how.device, how.gpu_share), find_reused(how.reuse)
    check_trackers(how.trackers)
    check_reference(record, source.origin)
    given, record = record, as_begun_in(place, record)
    everything = planned_runs(record, source.origin)
    wanted = select(everything, only)
    if how.shard is not None:
        wanted = Shard.read(how.shard).part_of(wanted)
    refuse_impossible(
        place, wanted, how.data_dir
    )  # before it is compared with the study that is stored there
    if record.defaults != given.defaults:
        present = planned_runs(given, source.origin)
        if [plan.experiment for plan in everything] != [plan.experiment for plan in present]:
            tell_of_defaults(place)
    tell_of_version(place, record.results)
    folder = StudyFolder.open(place, record, source)
    tell_of_locks(place)

    execution = how.execution(workers=1)
    if how.device != "cpu" and how.on is None:
        from fedskew.federation.device import check_device  # lazy: brings PyTorch

        check_device(how.device)  # once, instead of in every run
    setup = WorkerSetup(execution, tuple(how.plugins), tuple(how.trackers))
    missing = missing_runs(folder, wanted, how.data_dir)
    if others:
        tell_of_reused(reuse(folder, missing, others, how.data_dir))
        missing = missing_runs(folder, wanted, how.data_dir)
    jobs = default_jobs(how.device) if how.jobs is None and how.on is None else how.jobs
    extend = rounds_in_common(missing, how.extend)
    titles, limits = [plan.title for plan in missing], [plan.experiment.rounds for plan in missing]
    with display(titles, limits, jobs, how.quiet) as shown:
        useless: list[PlannedRun] = []

        def enough(plan: PlannedRun, ended: Ended) -> bool:
            if ended.rounds == 0 and not ended.died and essential(plan):
                useless.append(plan)
            return bool(useless)

        failed = run_missing(folder, missing, jobs, setup, shown.see, enough, extend, where)
    if useless:
        reasons = {plan.identity: reason for plan, reason in failed}
        message, _, hint = reasons[useless[0].identity].partition(
            "\nhint: "
        )  # as ``FedskewError`` shows them
        raise FailedRunError(f"{useless[0].title}: {message}", hint or None)
    tell_of_extended(folder, missing, extend)
    return Ran(folder, wanted, failed)
