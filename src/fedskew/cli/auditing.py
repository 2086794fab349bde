"""Doing the runs of an audit: those that tune its defences first, and what is left to processes of other parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedskew.cli.running import run_study, tell_of_failures
from fedskew.script.how import How
from fedskew.terminal.say import show

if TYPE_CHECKING:
    from fedskew.audit.build import Prepared
    from fedskew.audit.defences import Chosen
    from fedskew.script.doing import Ran
    from fedskew.study.grid import PlannedRun, Study
    from fedskew.study.source import Source

TUNING = "tuning"
"""The folder of the tuning, in that of the audit."""


def audit_study(content: dict[str, Any]) -> tuple[Study, Source]:
    """The study of an audit or its tuning, and where its values come from."""
    from fedskew.config.origin import Origin
    from fedskew.study.source import Source, as_study

    source = Source(content, Origin("the audit"), str(content["name"]))
    return as_study(source), source


def run_audit(content: dict[str, Any], place: Path, how: How, *audited: str) -> Ran:
    """Runs an audit or its tuning; where the audited defence, by its labels, fails in the first round of a run without
    an attack, all its runs will, so that no other is begun."""
    from fedskew.audit.claims import NO_ATTACK

    def essential(plan: PlannedRun) -> bool:
        labels = set(plan.cell.values())
        return NO_ATTACK in labels and not labels.isdisjoint(audited)

    return run_study(*audit_study(content), place, (), how, essential)


def left_to_others(ran: Ran) -> int:
    """How many runs have neither come out nor failed yet: those of other parts of the audit, whose processes count when
    theirs are done. So the last one finds none, and its report is not replaced by one of fewer runs."""
    folders = {plan.identity: ran.folder.run_folder(plan) for plan in ran.folder.planned}
    return sum(not run.result.exists() and not run.failure.exists() for run in folders.values())


def for_tuning(how: How) -> How:
    """How the runs of a tuning are done. Every part of an audit needs all of them, so that they are not divided: its
    process does those that no other one is doing, and waits for the rest. What is reused is the tuning of other audits.

    Raises:
        ConfigError: there is no such part, or no such study.
    """
    from fedskew.runs.folder import RUNS
    from fedskew.study.reuse import find_reused
    from fedskew.study.shard import Shard

    if how.shard is not None:
        Shard.read(how.shard)
    tunings = [path / TUNING for path in find_reused(how.reuse)]
    return replace(how, shard=None, reuse=[str(path) for path in tunings if (path / RUNS).is_dir()])


def tuned(prepared: Prepared, place: Path, how: How) -> list[Chosen]:
    """The best setting of each defence, by a study of its own beside the audit's runs."""
    from fedskew.analysis import results_table
    from fedskew.audit.tuning import best
    from fedskew.files import is_own_folder

    how = for_tuning(how)
    is_own_folder(place / TUNING)
    show("tuning, on validation data", err=True)
    labels = [setting.label for setting in prepared.audited.settings]
    ran = run_audit(prepared.tuning(), place / TUNING, how, *labels)
    if ran.failed:
        tell_of_failures(ran)
        raise typer.Exit(1)
    results = results_table(ran.folder.planned, ran.folder.path)
    return [best(each, results, list(prepared.axes)) for each in (prepared.audited, *prepared.others)]
