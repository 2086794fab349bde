"""The numbers of the paper's Tables I-V, and ours beside them."""

from __future__ import annotations

import math
from importlib.resources import files

import pandas as pd

from fedskew.analysis.significance import FEWEST, holm_corrected

PAPER_RUNS = 5
"""Runs that each entry of the paper's tables is a mean of."""
ENTRY = ["alpha", "setting", "metric"]
"""What identifies an entry of the paper's tables; some are in two tables."""


def paper_numbers() -> pd.DataFrame:
    """The 72 entries of the paper's Tables I-V: table, dataset, alpha, setting, metric, mean, std (percent)."""
    with files(__package__).joinpath("tables.csv").open("r") as file:
        return pd.read_csv(file)


def beside_paper(summary: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The paper's tables with our numbers beside theirs, where the study has the cell.

    Columns: table, alpha, setting, metric, paper, paper_std, ours, ours_std (in percent), seeds, and ``z``:
    the difference in units of the combined standard deviation, (ours - paper) / sqrt(ours_std^2 + paper_std^2).
    It compares the spread of single runs, not the standard errors of the means, so |z| < 2 says that the
    two sets of runs overlap. NaN where a deviation is missing (a single seed of ours) or both are 0. ``p`` is that of
    Welch's two-sided t-test of the means; ``p_holm`` is corrected for all entries that have one, of which those that
    are in two tables count once.
    """
    rows = []
    for entry in paper_numbers().query("dataset == @reference").to_dict("records"):
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
                "p_value": _welch((our_mean, our_std, seeds), (entry["mean"], entry["std"], PAPER_RUNS)),
            }
        )
    frame = pd.DataFrame(rows)
    distinct = frame.drop_duplicates(ENTRY)
    corrected = distinct[ENTRY].assign(p_holm=holm_corrected(distinct["p_value"].tolist()))
    return frame.merge(corrected, on=ENTRY, how="left")


def _welch(first: tuple[float, float, int], second: tuple[float, float, int]) -> float:
    """The two-sided p-value of two means, each given with its sample standard deviation and number; NaN for few."""
    from scipy.stats import ttest_ind_from_stats  # takes a second to import, which only such a study needs

    if first[2] < FEWEST or not first[1] + second[1]:
        return math.nan
    return float(ttest_ind_from_stats(*first, *second, equal_var=False).pvalue)
