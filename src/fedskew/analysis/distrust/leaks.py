"""Reasons to distrust what privacy attacks did not find: they find nothing anywhere, or were asked too little."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from fedskew.analysis.distrust.reasons import Finished, Reason, listed, names
from fedskew.analysis.distrust.roles import defence_parts
from fedskew.analysis.estimates import Estimate, estimate
from fedskew.evaluation.leakage_table import leading, leakage_row
from fedskew.evaluation.metric_table import meaning
from fedskew.wording import count


def few_records_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Runs with too few held-out images for the rate at which an attack is sure of single images."""
    few = [
        run
        for run in runs
        if any(
            leakage_row(name) == "auc" and math.isnan(run.metric(f"{name.removesuffix('auc')}tpr_at_1"))
            for name in _found(run)
        )
    ]
    if few:
        yield Reason(
            "few-privacy-records",
            "caution",
            f"the privacy attacks on {count(len(names(few)), 'run')} were asked about too few held-out images for a "
            "true positive rate at 1 % false positives: an AUC is a mean over all images, and single ones may be known "
            "far more surely",
            names(few),
        )


def unfound_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Privacy attacks none of which finds more than chance where nothing defends."""
    bare = [run for run in runs if _found(run) and not defence_parts(run.experiment)]
    measured = {
        name: one
        for name in dict.fromkeys(name for run in bare for name in leading(_found(run)))
        if (one := _over_seeds(bare, name)).n > 1
    }
    if measured and not any(_over_seeds(bare, name, beyond_chance=True).low > 0 for name in measured):
        words = [
            f"{meaning(name).label} {one.mean:.3f} [{one.low:z.3f}, {one.high:.3f}]"
            for name, one in measured.items()
        ]
        yield Reason(
            "privacy-attacks-find-nothing",
            "caution",
            "no privacy attack finds more than chance even without a defence, which shows neither that nothing leaks "
            f"nor that a defence keeps anything private: {listed(words)}",
            names(bare),
            tuple(measured),
        )


def _found(run: Finished) -> list[str]:
    """The metrics of privacy attacks that a run has."""
    return [name for name in run.row if leakage_row(name) is not None and not math.isnan(run.metric(name))]


def _over_seeds(runs: Sequence[Finished], name: str, *, beyond_chance: bool = False) -> Estimate:
    """One number per seed, the mean over its cells, as recorded; or how much more was found than by chance."""
    by_seed: dict[int, list[float]] = {}
    row = meaning(name)
    for run in runs:
        value = run.metric(name)
        if beyond_chance:
            level = run.metric(row.chance_metric) if row.chance_metric else row.chance or 0.0
            value = level - value if row.better == "higher" else value - level  # what is better is less found
        if not math.isnan(value):
            by_seed.setdefault(run.plan.seed, []).append(value)
    return estimate([fmean(values) for values in by_seed.values()])
