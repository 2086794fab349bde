"""Run records -> tables: one row per run, one row per cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis.estimates import cells, estimate, in_table_units
from fedskew.components.columns import RESULTS
from fedskew.evaluation.metric_table import meaning
from fedskew.runs.folder import RunFolder
from fedskew.runs.own import read_own_result
from fedskew.runs.result import RunResult
from fedskew.study.grid import PlannedRun, Study


def results_table(planned: Sequence[PlannedRun], folder: Path) -> pd.DataFrame:
    """One row per complete run of a study.

    Columns: the axes, ``seed``, ``run`` (the folder's name, to trace a number), ``rounds``, ``stopped``,
    ``engine``, ``threat_model`` (empty for adversaries that know their own updates only), ``diverged`` (why the
    last round's numbers are not those of a trained model; empty where they may be), every metric of the last
    round as a fraction, and the measured skew of the honest clients as ``skew_*``.

    Raises:
        RunError: what is in a folder is damaged, or not what its run wrote.
    """
    found = (
        (plan, read_own_result(RunFolder.below(folder, plan.identity), plan.completed)) for plan in planned
    )
    return pd.DataFrame([results_row(plan, result) for plan, result in found if result is not None])


def results_row(plan: PlannedRun, result: RunResult) -> dict[str, Any]:
    """The row of one complete run in ``results_table``."""
    return {
        **plan.cell,
        "seed": plan.seed,
        "run": plan.identity,
        "rounds": result.rounds,
        "stopped": result.stopped,
        "engine": result.engine.partition(" ")[0],
        "threat_model": result.threat_model,
        "diverged": result.diverged,
        **{f"skew_{name}": value for name, value in result.skew.items()},
        **result.last.metrics,
    }


def measured_columns(results: pd.DataFrame, study: Study) -> list[str]:
    """The columns of a ``results_table`` that were measured: metrics, a plug-in's own among them, and skew."""
    others = {*study.axes, *RESULTS}
    return [column for column in map(str, results.columns) if column not in others]


def metric_columns(results: pd.DataFrame, study: Study) -> list[str]:
    """The columns of a ``results_table`` that are metrics."""
    return [name for name in measured_columns(results, study) if not name.startswith("skew_")]


def summary_table(results: pd.DataFrame, study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per cell that has complete runs, in the order of the study.

    Columns: the axes, ``seeds`` (how many are complete), ``rounds`` (their mean), and for each metric
    ``<metric>``, ``<metric> std`` (sample standard deviation), ``<metric> low`` and ``<metric> high`` (Student's
    95 % interval; NaN like the deviation for a single seed), in percent where the metric is a share.
    """
    rows: list[dict[str, Any]] = []
    if results.empty:
        return pd.DataFrame(columns=[*study.axes, "seeds", "rounds", *metrics])
    for cell, group in cells(results, study):
        row = cell | {"seeds": len(group), "rounds": float(group["rounds"].mean())}
        for metric in metrics:
            found = estimate(in_table_units(group, metric).tolist(), bounds=meaning(metric).bounds)
            row[metric] = found.mean
            row |= {f"{metric} {name}": getattr(found, name) for name in ("std", "low", "high")}
        rows.append(row)
    return pd.DataFrame(rows)
