"""Run records -> tables: one row per run, then mean and sample standard deviation over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.metric_names import PERCENT
from fedskew.runs import RunResult, read_result
from fedskew.study import PlannedRun, Study

DEFAULT_METRICS = ("accuracy", "bias", "backdoor_accuracy", "attack_success_rate")


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
    ``<metric>`` and ``<metric> std`` (sample standard deviation; NaN for a single seed), in percent where the
    metric is a share.
    """
    axes = list(study.axes)
    rows: list[dict[str, Any]] = []
    if results.empty:
        return pd.DataFrame(columns=[*axes, "seeds", "rounds", *metrics])
    for labels in itertools.product(*([label for label, _ in study.axes[axis].points()] for axis in axes)):
        group = results
        for axis, label in zip(axes, labels, strict=True):
            group = group[group[axis] == label]
        if group.empty:
            continue
        row: dict[str, Any] = dict(zip(axes, labels, strict=True))
        row |= {"seeds": len(group), "rounds": float(group["rounds"].mean())}
        for metric in metrics:
            scale = 100.0 if metric in PERCENT else 1.0
            values = group[metric].dropna() if metric in group else pd.Series(dtype=float)
            row[metric] = float(values.mean()) * scale if len(values) else float("nan")
            row[f"{metric} std"] = float(values.std(ddof=1)) * scale if len(values) > 1 else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def paper_numbers() -> pd.DataFrame:
    """The 72 entries of the paper's Tables I-V: table, dataset, alpha, setting, metric, mean, std (percent)."""
    with files("fedskew.report").joinpath("paper_tables.csv").open("r") as file:
        return pd.read_csv(file)


def beside_paper(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The paper's tables with our numbers beside theirs, where the study has the cell.

    Columns: table, alpha, setting, metric, paper, paper_std, ours, ours_std, seeds (all in percent).
    """
    rows = []
    for entry in paper_numbers().query("dataset == @dataset").to_dict("records"):
        ours = summary
        if not summary.empty:
            ours = summary[(summary["alpha"] == entry["alpha"]) & (summary["setting"] == entry["setting"])]
        found = ours.iloc[0] if len(ours) else None
        metric = entry["metric"]
        rows.append(
            {
                "table": entry["table"],
                "alpha": entry["alpha"],
                "setting": entry["setting"],
                "metric": metric,
                "paper": entry["mean"],
                "paper_std": entry["std"],
                "ours": float("nan") if found is None else found[metric],
                "ours_std": float("nan") if found is None else found[f"{metric} std"],
                "seeds": 0 if found is None else int(found["seeds"]),
            }
        )
    return pd.DataFrame(rows)
