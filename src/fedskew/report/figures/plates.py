"""Which figures are written as files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Plate, metric_label
from fedskew.report.figures.clients import ColumnSplit, split_plate
from fedskew.report.figures.curves import Curve, cell_curves, curves_plate, paired_curves
from fedskew.report.figures.heatmap import ClassTable, class_tables, floor, heat_plate
from fedskew.report.figures.heterogeneity import choices, heterogeneity_plate
from fedskew.report.figures.trojan import Trojan, trojan_plate

UPDATES = (
    (
        "update norm",
        ("update_norm_honest", "honest"),
        ("update_norm_malicious", "malicious"),
    ),
    (
        "cosine similarity",
        ("cosine_honest_honest", "honest with honest"),
        ("cosine_honest_malicious", "honest with malicious"),
    ),
)
"""What, and its two metrics with whom each is about: the first is drawn solid, the second dashed."""


def make_plates(
    evidence: Evidence,
    metrics: list[str],
    curve_metrics: list[str],
    class_names: tuple[str, ...],
    splits: list[ColumnSplit],
    picture: Trojan | None,
) -> list[Plate]:
    """The figures of a study, as far as there is something to draw."""
    start = floor(class_tables(evidence, class_names))
    plates = [
        plate
        for part in evidence.parts
        for plate in _of_part(part, metrics, curve_metrics, class_tables(part, class_names), start)
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
        rows = [(metric, metric_label(metric), of(metric)) for metric in metrics]
        plates.append(curves_plate(evidence, "rounds", f"Metrics over rounds: {band}", rows))
        losses = [
            (m, metric_label(m), of(m))
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
