"""Reasons to distrust that lie in runs that are not there: those that failed, and those that are not done yet.

A run that fails because of its data (a client with too few images, a split that cannot be drawn) fails in some cells
and not in others, and the mean of what is left is that of the easier runs.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np

from fedskew.analysis.distrust.reasons import Reason, listed
from fedskew.errors import RunError
from fedskew.runs.folder import RunFolder
from fedskew.study.grid import PlannedRun
from fedskew.wording import cell_in_words, count

RARE = 0.05
"""An axis is named where failures that are dealt out by chance would be so uneven over it in less than this share."""


def incomplete_reasons(planned: Sequence[PlannedRun], folder: Path, done: Container[str]) -> Iterator[Reason]:
    """Runs that failed, and in which cells; runs that are not there (yet).

    Args:
        folder: the study's.
        done: the identities of the runs that are complete.
    """
    absent = {plan.identity: plan for plan in planned if plan.identity not in done}
    failed = {name: why for name in absent if (why := _failure(RunFolder.below(folder, name)))}
    total = len({plan.identity for plan in planned})
    if failed:
        first = next(iter(failed))
        yield Reason(
            "failed-runs",
            "serious",
            f"{len(failed)} of {count(total, 'run')} failed and are missing from every mean, which leaves those "
            f"that went well: {_where(planned, done, failed)}. The first is {absent[first].title} ({failed[first]})",
            tuple(failed),
        )
    missing = [name for name in absent if name not in failed]
    if missing:
        yield Reason(
            "missing-runs",
            "serious" if len(absent) == total else "caution",
            f"{len(missing)} of {count(total, 'run')} are not complete: "
            f"{listed([absent[name].title for name in missing])}",
            tuple(missing),
        )


def _where(planned: Sequence[PlannedRun], done: Container[str], failed: Container[str]) -> str:
    """How many failed in which cells, and at which labels of the axes over which they are not evenly spread."""
    cells = _shares(
        [(cell_in_words(plan.cell) or "the only cell", plan.identity in failed) for plan in planned]
    )
    words = listed([f"{bad} of {all_} at {cell}" for cell, (bad, all_) in cells.items() if bad])
    tried = [plan for plan in planned if plan.identity in done or plan.identity in failed]
    for axis in planned[0].cell:
        # A run that several cells share is one, and no more evidence than that.
        once = dict.fromkeys((str(plan.cell[axis]), plan.identity) for plan in tried)
        labels = _shares([(label, name in failed) for label, name in once])
        if _by_chance([*labels.values()]) < RARE:
            over = listed([f"{bad} of {all_} at {label}" for label, (bad, all_) in labels.items() if bad])
            words += f". Failures by {axis}: {over}"
    return words


def _by_chance(labels: Sequence[tuple[int, int]]) -> float:
    """How often as many failures, dealt out to the runs by chance, are at least as unevenly spread over the labels as
    these: a permutation test of chi-squared with 9,999 draws, the same ones each time.

    Args:
        labels: (failures, runs) of each.
    """
    bad, runs = np.array(labels).T
    drawn = np.random.default_rng(0).multivariate_hypergeometric(runs, bad.sum(), size=9999)
    expected = runs * (bad.sum() / runs.sum())
    found, others = (((counts - expected) ** 2 / runs).sum(axis=-1) for counts in (bad, drawn))
    return float((1 + (others >= found * (1 - 1e-9)).sum()) / (1 + len(drawn)))


def _shares(runs: Sequence[tuple[str, bool]]) -> dict[str, tuple[int, int]]:
    """Label -> how many of its runs failed, and how many it has."""
    found: dict[str, tuple[int, int]] = {}
    for label, bad in runs:
        before = found.get(label, (0, 0))
        found[label] = before[0] + bad, before[1] + 1
    return found


def _failure(folder: RunFolder) -> str:
    """The first line of why a run failed; empty if it did not."""
    try:
        return folder.read_failure() or ""
    except RunError:
        return f"its {folder.failure.name} cannot be read"
