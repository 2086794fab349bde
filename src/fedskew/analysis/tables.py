"""Run records -> tables: one row per run, one row per cell, and the paper's numbers beside ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis.estimates import cells, estimate, in_table_units
from fedskew.analysis.significance import holm_corrected
from fedskew.records import RunResult, read_result
from fedskew.study import PlannedRun, Study

DEFAULT_METRICS = ("accuracy", "bias", "backdoor_accuracy", "attack_success_rate")


PAPER_RUNS = 5
"""Runs behind each entry of the paper's tables."""
ENTRY = ["alpha", "setting", "metric"]
"""What an entry of the paper's tables is; some stand in two tables."""


def results_table(planned: Sequence[PlannedRun], folder: Path) -> pd.DataFrame:
    """One row per complete run of a study.

    Columns: the axes, ``seed``, ``run`` (the folder's name, to trace a number), ``rounds``, ``stopped``, every
    metric of the last round as a fraction, and the measured skew of the honest clients as ``skew_*``.
    """
    rows: list[dict[str, Any]] = []
    for plan in planned:
        result: RunResult | None = read_result(folder / "runs" / plan.identity)
        if result is not None:
            rows.append(
                {
                    **plan.cell,
                    "seed": plan.seed,
                    "run": plan.identity,
                    "rounds": result.rounds,
                    "stopped": result.stopped,
                    "engine": result.engine.partition(" ")[0],
                    **{f"skew_{name}": value for name, value in result.skew.items()},
                    **result.last.metrics,
                }
            )
    return pd.DataFrame(rows)


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
            found = estimate(in_table_units(group, metric).tolist())
            row[metric] = found.mean
            row |= {f"{metric} {name}": getattr(found, name) for name in ("std", "low", "high")}
        rows.append(row)
    return pd.DataFrame(rows)


def paper_numbers() -> pd.DataFrame:
    """The 72 entries of the paper's Tables I-V: table, dataset, alpha, setting, metric, mean, std (percent)."""
    with files("fedskew.report").joinpath("paper_tables.csv").open("r") as file:
        return pd.read_csv(file)


def beside_paper(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The paper's tables with our numbers beside theirs, where the study has the cell.

    Columns: table, alpha, setting, metric, paper, paper_std, ours, ours_std (in percent), seeds, and ``z``:
    the difference in units of the combined standard deviation, (ours - paper) / sqrt(ours_std^2 + paper_std^2).
    It compares the spread of single runs, not the standard errors of the means, so |z| < 2 says that the
    two sets of runs overlap. NaN where a deviation is missing (a single seed of ours) or both are 0. ``p`` is that of
    Welch's two-sided t-test of the means; ``p_holm`` is corrected for all entries that have one, of which those that
    stand in two tables count once.
    """
    rows = []
    for entry in paper_numbers().query("dataset == @dataset").to_dict("records"):
        ours = summary
        if not summary.empty:
            ours = summary[(summary["alpha"] == entry["alpha"]) & (summary["setting"] == entry["setting"])]
        found = ours.iloc[0] if len(ours) else None
        metric = entry["metric"]
        our_mean = math.nan if found is None else float(found[metric])
        our_std = math.nan if found is None else float(found[f"{metric} std"])
        combined = math.hypot(our_std, entry["std"])
        seeds = 0 if found is None else int(found["seeds"])
        rows.append(
            {
                "table": entry["table"],
                "alpha": entry["alpha"],
                "setting": entry["setting"],
                "metric": metric,
                "paper": entry["mean"],
                "paper_std": entry["std"],
                "ours": our_mean,
                "ours_std": our_std,
                "seeds": seeds,
                "z": (our_mean - entry["mean"]) / combined if combined else math.nan,
                "p": _welch((our_mean, our_std, seeds), (entry["mean"], entry["std"], PAPER_RUNS)),
            }
        )
    frame = pd.DataFrame(rows)
    distinct = frame.drop_duplicates(ENTRY)
    corrected = distinct[ENTRY].assign(p_holm=holm_corrected(distinct["p"].tolist()))
    return frame.merge(corrected, on=ENTRY, how="left")


def _welch(first: tuple[float, float, int], second: tuple[float, float, int]) -> float:
    """The two-sided p-value of two means, each given with its sample standard deviation and number."""
    from scipy.stats import ttest_ind_from_stats

    if math.isnan(first[1]) or not first[1] + second[1]:
        return math.nan
    return float(ttest_ind_from_stats(*first, *second, equal_var=False).pvalue)
