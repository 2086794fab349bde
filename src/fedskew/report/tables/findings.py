"""The statistics of a study as tables: intervals, paired differences, trends, claims; and the run list.

Which differences are shown: of every axis but the one from left to right, each pair of labels (of an axis with more
than four, each label against the first), pooled over the other axes and at each of their cells. Which trends: of each
series over the axis from left to right. All of one table are corrected together (Holm 1979).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from fedskew.analysis import (
    Difference,
    Judgement,
    Trend,
    estimates,
    holm,
    paired_differences,
    pooled_difference,
    trend,
)
from fedskew.report.evidence import Evidence
from fedskew.report.figures.heatmap import ClassTable
from fedskew.report.numbers import interval, number, p_text
from fedskew.report.tables.sheet import Sheet
from fedskew.report.tables.study import mean_std, words
from fedskew.wording import cell_in_words, duration

HOLM = (
    "p (Holm): two-sided paired t-test, corrected for all rows of this table; "
    "exact p: sign-flip test over seeds, not corrected"
)

MOST_IN_PAIRS = 4
"""Labels of an axis of which every pair is compared; of seven it would be 21 differences per metric and cell, and
Holm's correction for all of them would leave little standing."""


def estimates_sheet(evidence: Evidence, metrics: Sequence[str]) -> Sheet:
    """Mean, standard deviation and 95 % interval of every cell and metric."""
    found = estimates(evidence.results, evidence.study, list(metrics))
    axes = list(evidence.study.axes)
    rows, runs = [], []
    for row in found.to_dict("records"):
        rows.append(
            [
                *(str(row[axis]) for axis in axes),
                words(str(row["metric"])),
                mean_std(row["mean"], row["std"]),
                interval(row["low"], row["high"]),
                str(row["n"]),
            ]
        )
        runs.append(tuple(row["runs"]))
    header = [*axes, "metric", "mean ± std", "95 % interval", "seeds"]
    notes = ("Student's t interval of the mean over seeds; shares in percent",)
    numbers = _joined(found)
    return Sheet(
        "estimates", "Every metric of every cell", header, rows, numbers, notes, len(axes) + 1, tuple(runs)
    )


def differences(evidence: Evidence, metrics: Sequence[str]) -> list[Difference]:
    """Settings of one axis against each other, paired by seed; corrected together."""
    study, results = evidence.study, evidence.results
    found: list[Difference] = []
    for axis in (name for name in study.axes if name != evidence.across or not evidence.is_numeric()):
        labels = [label for label, _ in study.axes[axis].points()]
        pairs = list(itertools.combinations(labels, 2))
        if len(labels) > MOST_IN_PAIRS:
            pairs = pairs[: len(labels) - 1]  # those with the first label
        for metric in metrics:
            for first, second in pairs:
                pooled = pooled_difference(results, study, metric, axis, first, second)
                cells = paired_differences(results, study, metric, axis, first, second)
                found += [pooled] if pooled is not None and len(cells) > 1 else []
                found += cells
    return holm(found)


def differences_sheet(found: Sequence[Difference]) -> Sheet:
    """The differences as a table."""
    rows = [
        [
            words(one.metric),
            f"{one.second} minus {one.first}",
            cell_in_words(one.where) or "all",
            number(one.effect, sign=True),
            interval(one.low, one.high, sign=True),
            p_text(one.p_holm),
            p_text(one.exact_p),
            str(one.n),
        ]
        for one in found
    ]
    header = ["metric", "difference", "where", "effect", "95 % interval", "p (Holm)", "exact p", "seeds"]
    notes = (
        "effect: mean over seeds of the difference between runs of the same seed, which share split and initial "
        "weights where the adversaries' data allows it; shares in percentage points",
        HOLM,
    )
    return Sheet(
        "differences", "Differences between settings, paired by seed", header, rows, _table(found), notes, 3,
        tuple(one.runs for one in found),
    )  # fmt: skip


def trends_sheet(evidence: Evidence, metrics: Sequence[str]) -> Sheet:
    """How each metric of each series changes over the axis from left to right."""
    found: list[tuple[str, Trend]] = []
    if evidence.across is not None and evidence.is_numeric() and evidence.done:
        for metric in metrics:
            for series, labels in evidence.series.items():
                one = trend(evidence.results, evidence.study, metric, evidence.across, labels)
                if one is not None:
                    found.append((series, one))
    corrected = holm([one for _, one in found])
    rows = [
        [
            words(one.metric),
            series,
            number(one.slope, sign=True),
            one.unit,
            interval(one.low, one.high, sign=True),
            p_text(one.p_holm),
            p_text(one.exact_p),
            str(one.n),
        ]
        for (series, _), one in zip(found, corrected, strict=True)
    ]
    header = [
        "metric",
        evidence.series_title,
        "slope",
        "unit",
        "95 % interval",
        "p (Holm)",
        "exact p",
        "seeds",
    ]
    notes = ("slope: mean over seeds of each seed's least-squares slope", HOLM)
    return Sheet(
        "trends", f"Trends over {evidence.across}", header, rows, _table(corrected), notes, 2,
        tuple(one.runs for one in corrected),
    )  # fmt: skip


def claims_sheet(judgements: Sequence[Judgement]) -> Sheet:
    """Every claim with its verdict and numbers."""
    rows = [
        [
            one.claim.text,
            one.verdict,
            number(one.effect, sign=True),
            one.unit,
            interval(one.low, one.high, sign=True),
            p_text(one.p_holm),
            p_text(one.exact_p),
            str(one.n),
        ]
        for one in judgements
    ]
    plain = [
        {
            "claim": one.claim.text,
            "tested": one.tested,
            "source": one.claim.source,
            "verdict": one.verdict,
            **{k: getattr(one, k) for k in ("effect", "low", "high", "unit", "n", "p_value", "p_holm")},
            **{k: getattr(one, k) for k in ("exact_p", "smallest_p", "why", "caution")},
            "runs": " ".join(one.runs),
        }
        for one in judgements
    ]
    header = ["claim", "verdict", "effect", "unit", "95 % interval", "p (Holm)", "exact p", "seeds"]
    return Sheet(
        "claims", "Claims and verdicts", header, rows, pd.DataFrame(plain), (HOLM,),
        runs=tuple(one.runs for one in judgements),
    )  # fmt: skip


def classes_sheet(evidence: Evidence, tables: Sequence[ClassTable]) -> Sheet | None:
    """Class accuracies; None where they are not known or the classes differ from cell to cell."""
    if not tables or len({tuple(table.classes) for table in tables}) > 1:
        return None
    across = [evidence.across] if evidence.across else []
    rows, plain, runs = [], [], []
    for table in tables:
        for series, cells in zip(table.series, table.cells, strict=True):
            where = [str(table.column)] if across else []
            rows.append([*where, series, *(mean_std(cell.mean, cell.std) for cell in cells)])
            values = {f"{name}": cell.mean for name, cell in zip(table.classes, cells, strict=True)}
            spread = {f"{name} std": cell.std for name, cell in zip(table.classes, cells, strict=True)}
            plain.append(
                {**dict(zip(across, where, strict=True)), evidence.series_title: series, **values, **spread}
            )
            runs.append(cells[0].runs)
    header = [*across, evidence.series_title, *tables[0].classes]
    notes = ("percent of the class's test images after the last round, mean ± standard deviation over seeds",)
    return Sheet(
        "class-accuracy", "Class accuracies", header, rows, pd.DataFrame(plain), notes, len(across) + 1, tuple(runs)
    )  # fmt: skip


def runs_sheet(evidence: Evidence) -> Sheet:
    """Every planned run: what became of it, where and when it was done."""
    axes = list(evidence.study.axes)
    rows, plain = [], []
    for note in evidence.notes:
        where = note.session
        record: dict[str, Any] = {
            **note.plan.cell,
            "seed": note.plan.seed,
            "run": note.plan.identity,
            "status": "failed" if note.failed else note.status,
            "why": note.why,
            "rounds": note.rounds,
            "seconds": note.seconds,
            "sessions": len(note.sessions),
            **{key: getattr(where, key) for key in ("started", "engine", "device", "workers", "commit")},
        }
        plain.append(record)
        rows.append(
            [
                *(str(note.plan.cell[axis]) for axis in axes),
                str(note.plan.seed),
                note.plan.identity,
                str(record["status"]),
                note.why,
                duration(note.seconds),
                str(where.engine or "–"),
                str(where.device or "–"),
                str(where.commit or "–"),
                str(where.started or "–").replace("T", " ").removesuffix("+00:00"),
            ]
        )
    header = [*axes, "seed", "run", "status", "why", "time", "engine", "device", "commit", "begun (UTC)"]
    notes = ("time: of all rounds together, as recorded; run: the folder below runs/",)
    return Sheet("runs", "Runs", header, rows, pd.DataFrame(plain), notes, len(axes) + 2)


def _table(items: Sequence[Any]) -> pd.DataFrame:
    """Records of one kind as rows; run folders separated by spaces."""
    return _joined(pd.DataFrame([vars(one) for one in items]))


def _joined(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    for column in ("runs", "left_out"):
        if column in frame:
            frame[column] = [" ".join(map(str, value)) for value in frame[column]]
    if "where" in frame:
        frame["where"] = [cell_in_words(value) for value in frame["where"]]
    return frame
