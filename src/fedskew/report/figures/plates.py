"""Which figures are written as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Plate
from fedskew.report.figures.curves import curves_plate
from fedskew.report.figures.heatmap import floor, heat_plate
from fedskew.report.figures.heterogeneity import choices, heterogeneity_plate
from fedskew.report.figures.splits import split_plate
from fedskew.report.figures.trojan import Trojan, trojan_plate
from fedskew.report.rounds import UPDATES, Curve, cell_curves, paired_curves
from fedskew.report.splits import ColumnSplit
from fedskew.report.tables.classes import ClassTable


def make_plates(
    parts: Sequence[Evidence],
    metrics: list[str],
    curve_metrics: list[str],
    classes: list[list[ClassTable]],
    splits: list[ColumnSplit],
    picture: Trojan | None,
) -> list[Plate]:
    """The figures of a study, as far as there is something to draw.

    Args:
        parts: the evidence, cut.
        metrics, curve_metrics: to show over the study's axis and rounds; over rounds only.
        classes: of each part.
    """
    start = floor([table for tables in classes for table in tables])
    plates = [
        plate
        for part, tables in zip(parts, classes, strict=True)
        for plate in _of_part(part, metrics, curve_metrics, tables, start)
    ]
    if splits:
        plates.append(split_plate(splits))
    if picture is not None:
        plates.append(trojan_plate(picture))
    return plates


def _of_part(
    evidence: Evidence,
    metrics: list[str],
    curve_metrics: list[str],
    classes: list[ClassTable],
    start: float,
) -> list[Plate]:
    plates = []
    if evidence.done and metrics:
        if evidence.across:
            plates += [heterogeneity_plate(evidence, metrics, key) for key in list(choices(evidence))[:2]]

        def of(metric: str) -> Callable[[Any], list[Curve]]:
            return lambda column: cell_curves(evidence, column, metric)

        band = "mean over seeds; the band is the range of the seeds; dotted where some runs have stopped"
        rows = [(metric, meaning(metric).heading, of(metric)) for metric in metrics]
        plates.append(curves_plate(evidence, "rounds", f"Metrics over rounds: {band}", rows))
        losses = [
            (m, meaning(m).heading, of(m))
            for m in curve_metrics
            if m in ("test_loss", "train_loss", "negative_rate_share")
        ]
        if losses:
            plates.append(
                curves_plate(evidence, "rounds-losses", f"Losses and trace over rounds: {band}", losses)
            )
        updates = [
            (
                first[0],
                words,
                lambda column, first=first, second=second: paired_curves(evidence, column, first, second),
            )
            for words, first, second in UPDATES
            if evidence.measured((first[0],))
        ]
        if updates:
            plates.append(
                curves_plate(evidence, "updates", f"Norms and angles of updates over rounds: {band}", updates)
            )
    if classes:
        plates.append(heat_plate(evidence, classes, start))
    return plates
