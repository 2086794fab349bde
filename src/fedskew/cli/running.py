"""Running what is missing from a study, for the commands that do, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fedskew.cli.app import show_reason
from fedskew.script.how import How
from fedskew.terminal.say import show

if TYPE_CHECKING:
    from fedskew.errors import ConfigError
    from fedskew.report.write import Report
    from fedskew.script.doing import Ran
    from fedskew.study.folder import StudyFolder
    from fedskew.study.grid import PlannedRun, Study
    from fedskew.study.source import Source

T = TypeVar("T")


def run_study(
    record: Study,
    source: Source,
    place: Path,
    only: Sequence[str],
    how: How,
    essential: Callable[[PlannedRun], bool] = lambda plan: False,
) -> Ran:
    """As ``script.doing.do_study``, whose imports take a while: workers begin theirs before."""
    from fedskew.study.folder import is_study
    from fedskew.study.pool import warm_up

    if not is_study(place) and how.on is None:
        warm_up()  # everything is to be done

    from fedskew.script.doing import do_study

    return do_study(record, source, place, only, how, essential)


def check_best(best: str | None, record: Study, source: Source) -> None:
    """Refuses a ``--best`` that cannot choose, before any run is done.

    Raises:
        ConfigError: no run of the study can have the metric, or neither direction of it is better.
    """
    if best is not None:
        from fedskew.frames.best import check_asked_for
        from fedskew.study.grid import planned_runs

        check_asked_for(best, planned_runs(record, source.origin))


def with_best(make: Callable[[str | None], T], best: str | None) -> tuple[T, ConfigError | None]:
    """What is shown of runs that have just been done, with the best round of each beside the last; without it, and the
    error, where none of them has the metric that was to choose: they took their time and are shown all the same."""
    from fedskew.errors import ConfigError

    try:
        return make(best), None
    except ConfigError as error:
        if best is None:
            raise
        return make(None), error


def tell_of_thinned(written: Report) -> None:
    """Says which tables of a report do not have all rounds."""
    for name, every in written.thinned.items():
        show(f"note: tables/{name} has one of every {every} rounds and the last of each run", err=True)


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
    show(f"\n{len(ran.failed)} of {len(ran.wanted)} runs failed:", err=True)
    for planned, reason in ran.failed:
        run = ran.folder.run_folder(planned).path.relative_to(ran.folder.path)
        show(f"  {planned.title} ({run}): {reason}", err=True)
    show("rerun the same command to retry them", err=True)
