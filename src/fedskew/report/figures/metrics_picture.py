"""The picture of ``fedskew report --picture``: metrics over a study's axis, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedskew.errors import FedskewError
from fedskew.report.evidence import gather
from fedskew.report.figures.files import save_scene
from fedskew.report.figures.heterogeneity import heterogeneity_plate
from fedskew.report.first import main_metrics
from fedskew.report.parts import few_series
from fedskew.study.folder import StudyFolder


def metrics_picture(folder: StudyFolder, metrics: Sequence[str], path: Path) -> None:
    """Writes one panel per metric: mean and 95 % interval over seeds, over the study's axis from left to right.

    Args:
        metrics: the usual that were measured if empty.
        path: the ending chooses the format (.png, .svg, .pdf).

    Raises:
        FedskewError: there is nothing to draw, a metric is unknown, or the file cannot be written.
    """
    evidence = gather(folder)
    shown = main_metrics(evidence, metrics)
    if not shown or evidence.across is None:
        raise FedskewError("there is nothing to draw: no complete run, or a study without axes")
    save_scene(heterogeneity_plate(few_series(evidence, shown[0]), shown, "axis").draw(), path, dpi=150)
