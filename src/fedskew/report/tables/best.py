"""The best round of every run beside its last: one row per cell for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fedskew.analysis import summary_table
from fedskew.analysis.estimates import within
from fedskew.evaluation.metric_table import meaning
from fedskew.frames.best import best_record, check_chooser
from fedskew.frames.runs import named_apart
from fedskew.protocols import RoundRecord
from fedskew.report.numbers import mean_std
from fedskew.report.tables.sheet import Sheet
from fedskew.study.grid import Study

SHOWN, ROUND = "shown", "round"
"""The columns that say which of the two rounds a row is of, and its number, on average over seeds."""


def best_sheets(
    study: Study,
    results: pd.DataFrame,
    records: Mapping[str, Sequence[RoundRecord]],
    metric: str | None,
    shown: Sequence[str],
) -> list[Sheet]:
    """The table; none if no metric is given or no run is complete.

    Args:
        results: as ``analysis.results_table`` makes it.
        records: run -> its rounds.
        metric: what chooses the best round.
        shown: the metrics to show; those that a best round lacks are left out.

    Raises:
        ConfigError: no run has the metric, or neither direction of it is better.
    """
    if metric is None or results.empty:
        return []
    check_chooser(metric, records.values())
    chosen = {run: best_record(records[run], metric) for run in results["run"].unique()}
    found = {run: record for run, record in chosen.items() if record is not None}
    last = results[results["run"].isin(found)]
    names = [
        name for name in dict.fromkeys((metric, *shown)) if all(name in r.metrics for r in found.values())
    ]
    best = last.assign(
        rounds=[found[run].round for run in last["run"]],
        **{name: [found[run].metrics[name] for run in last["run"]] for name in names},
    )
    rows: list[list[str]] = []
    numbers: list[dict[str, Any]] = []
    runs = []
    both = (summary_table(one, study, names).to_dict("records") for one in (last, best))
    for pair in zip(*both, strict=True):
        labels = {axis: pair[0][axis] for axis in study.axes}
        behind = tuple(within(last, labels)["run"])
        for which, row in zip(("last", "best"), pair, strict=True):
            cells = [mean_std(row[name], row[f"{name} std"], meaning(name).digits) for name in names]
            rows.append(
                [*map(str, labels.values()), which, f"{row['rounds']:.1f}", *cells, str(row["seeds"])]
            )
            rest = {name: value for name, value in row.items() if name not in (*study.axes, "rounds")}
            numbers.append(
                {**named_apart(labels, (SHOWN, ROUND)), SHOWN: which, ROUND: row["rounds"], **rest}
            )
            runs.append(behind)
    header = [*study.axes, SHOWN, ROUND, *(meaning(name).label for name in names), "seeds"]
    return [
        Sheet(
            "best-round",
            f"The best round by {meaning(metric).label} beside the last",
            header,
            rows,
            pd.DataFrame(numbers),
            _notes(metric, names, len(chosen) - len(found)),
            len(study.axes) + 1,
            tuple(runs),
        )
    ]


def _notes(metric: str, names: Sequence[str], without: int) -> tuple[str, ...]:
    of = meaning(metric)
    shares = ", ".join(meaning(name).label for name in names if meaning(name).is_share)
    notes = [
        "mean ± sample standard deviation over seeds" + (f"; {shares} in percent" if shares else ""),
        f"best: the first round of each run with its {'lowest' if of.better == 'lower' else 'highest'} {of.label}",
    ]
    if of.from_test_images:
        notes.append(
            f"! {of.label} is measured on the test images, which so decide which round is shown: what is measured on "
            "them in that round is better than the model is"
        )
    if without:
        notes.append(f"{without} of the runs have no such round and are left out")
    return tuple(notes)
