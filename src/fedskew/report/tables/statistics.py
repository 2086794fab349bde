"""The statistics of a study as tables: intervals, paired differences, trends, claims.

Which differences are shown: ``analysis.differences.study_differences``. Which trends: of each series over the axis from
left to right. All of one table are corrected together (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedskew.analysis import (
    Difference,
    Judgement,
    Trend,
    estimates,
    holm,
    trend,
)
from fedskew.analysis.effects import Effect
from fedskew.evaluation.metric_table import meaning
from fedskew.frames.verdicts import claims_frame, joined, tests_frame
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import interval, mean_std, number, p_text
from fedskew.report.tables.sheet import Sheet
from fedskew.wording import cell_in_words

HOLM = (
    "p (Holm): two-sided paired t-test, corrected for all rows of this table; "
    "exact p: sign-flip test over seeds, not corrected"
)

TESTED = ("95 % interval", "p (Holm)", "exact p", "seeds")
"""The columns that every table of tests ends with."""


def estimates_sheet(evidence: Evidence, metrics: Sequence[str]) -> Sheet:
    """Mean, standard deviation and 95 % interval of every cell and metric."""
    found = estimates(evidence.results, evidence.study, list(metrics))
    axes = list(evidence.study.axes)
    rows, runs = [], []
    for row in found.to_dict("records"):
        of = meaning(str(row["metric"]))
        rows.append(
            [
                *(str(row[axis]) for axis in axes),
                of.label,
                mean_std(row["mean"], row["std"], of.digits),
                interval(row["low"], row["high"], of.digits),
                str(row["n"]),
            ]
        )
        runs.append(tuple(row["runs"]))
    header = [*axes, "metric", "mean ± std", "95 % interval", "seeds"]
    notes = ("Student's t interval of the mean over seeds; shares in percent",)
    numbers = joined(found)
    return Sheet(
        "estimates", "Every metric of every cell", header, rows, numbers, notes, len(axes) + 1, tuple(runs)
    )


def differences_sheet(found: Sequence[Difference]) -> Sheet:
    """The differences as a table."""
    rows = [
        [
            meaning(one.metric).label,
            f"{one.second} minus {one.first}",
            cell_in_words(one.where) or "all",
            number(one.effect, meaning(one.metric).digits, sign=True),
            *tested_cells(one, meaning(one.metric).digits),
        ]
        for one in found
    ]
    header = ["metric", "difference", "where", "effect", *TESTED]
    notes = (
        "effect: mean over seeds of the difference between runs of the same seed, which share split and initial "
        "weights where the adversaries' data allows it; shares in percentage points",
        HOLM,
    )
    return Sheet(
        "differences", "Differences between settings, paired by seed", header, rows,
        tests_frame(Difference, found), notes, 3, tuple(one.runs for one in found),
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
            meaning(one.metric).label,
            series,
            number(one.slope, meaning(one.metric).digits, sign=True),
            one.unit,
            *tested_cells(one, meaning(one.metric).digits),
        ]
        for (series, _), one in zip(found, corrected, strict=True)
    ]
    header = [
        "metric",
        evidence.series_title,
        "slope",
        "unit",
        *TESTED,
    ]
    notes = ("slope: mean over seeds of each seed's least-squares slope", HOLM)
    return Sheet(
        "trends", f"Trends over {evidence.across}", header, rows, tests_frame(Trend, corrected), notes, 2,
        tuple(one.runs for one in corrected),
    )  # fmt: skip


def claims_sheet(judgements: Sequence[Judgement], late: Mapping[int, str]) -> Sheet:
    """Every claim with its verdict and numbers.

    Args:
        late: number of a claim -> how it was added or changed after results were there, in words.
    """
    rows = [
        [
            one.claim.text,
            one.verdict,
            number(one.effect, one.claim.digits, sign=True),
            one.unit,
            *tested_cells(one, one.claim.digits),
        ]
        for one in judgements
    ]
    header = ["claim", "verdict", "effect", "unit", *TESTED]
    return Sheet(
        "claims", "Claims and verdicts", header, rows, claims_frame(judgements, late), (HOLM,),
        runs=tuple(one.runs for one in judgements),
    )  # fmt: skip


def tested_cells(one: Difference | Trend | Judgement | Effect, digits: int) -> list[str]:
    """The cells below ``TESTED``."""
    return [
        interval(one.low, one.high, digits, sign=True),
        p_text(one.p_holm),
        p_text(one.exact_p),
        str(one.n),
    ]
