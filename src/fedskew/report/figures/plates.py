"""Which figures are written as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Plate
from fedskew.report.figures.curves import curves_plate
from fedskew.report.figures.heatmap import heat_plate
from fedskew.report.figures.heterogeneity import choices, heterogeneity_plate
from fedskew.report.figures.pays import pays_plate
from fedskew.report.figures.splits import split_plate
from fedskew.report.figures.trojan import Trojan, trojan_plate
from fedskew.report.pays import WhoPays
from fedskew.report.rounds import UPDATES, Curve, cell_curves, paired_curves
from fedskew.report.splits import ColumnSplit
from fedskew.report.tables.classes import Shown

LOSSES = ("test_loss", "train_loss", "negative_rate_share")


def make_plates(
    parts: Sequence[Evidence],
    metrics: list[str],
    curve_metrics: list[str],
    heat: Sequence[tuple[float, Sequence[Shown]]],
    splits: list[ColumnSplit],
    picture: Trojan | None,
    who: WhoPays,
) -> list[Plate]:
    """The figures of a study, as far as there is something to draw.

    Args:
        parts: the evidence, cut.
        metrics, curve_metrics: to show over the study's axis and rounds; over rounds only.
        heat: of the classes, then of the groups: where the colour scale starts, and the tables of each part.
        who: pays, in all parts.
    """
    plates = []
    for number, part in enumerate(parts):
        if part.done and metrics:
            plates += _of_metrics(part, metrics, curve_metrics)
        for start, of_parts in heat:
            if tables := of_parts[number].tables:
                plates.append(heat_plate(part, of_parts[number], start, f"{tables[0].kind}-accuracy"))
        if (paid := pays_plate(part, who)) is not None:
            plates.append(paid)
    if splits:
        plates.append(split_plate(splits))
    if picture is not None:
        plates.append(trojan_plate(picture))
    return plates


def _of_metrics(evidence: Evidence, metrics: list[str], curve_metrics: list[str]) -> list[Plate]:
    """The figures of one part over the study's axis and over rounds."""

    def of(metric: str) -> Callable[[Any], list[Curve]]:
        return lambda column: cell_curves(evidence, column, metric)

    def pair(first: tuple[str, str], second: tuple[str, str]) -> Callable[[Any], list[Curve]]:
        return lambda column: paired_curves(evidence, column, first, second)

    plates = []
    if evidence.across and evidence.measured(metrics):
        plates += [heterogeneity_plate(evidence, metrics, key) for key in list(choices(evidence))[:2]]
    losses = [metric for metric in curve_metrics if metric in LOSSES]
    plates.append(
        curves_plate(
            evidence, "rounds", [(metric, meaning(metric).heading, of(metric)) for metric in metrics]
        )
    )
    if losses:
        rows = [(metric, meaning(metric).heading, of(metric)) for metric in losses]
        plates.append(curves_plate(evidence, "rounds-losses", rows))
    measured = [pairs for pairs in UPDATES if evidence.measured((pairs[1][0],))]
    if measured:
        pairs = [(first[0], words, pair(first, second)) for words, first, second in measured]
        plates.append(curves_plate(evidence, "updates", pairs))
    return plates
