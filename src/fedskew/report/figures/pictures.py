"""The pictures of ``fedskew inspect`` and ``fedskew report --picture``: splits, and metrics over a study's axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedskew.errors import FedskewError
from fedskew.report.figures.charts import Groups
from fedskew.report.figures.style import HONEST, MALICIOUS, figure_style
from fedskew.report.figures.svg import save
from fedskew.study.folder import StudyFolder
from fedskew.study.splits import Split


def split_picture(splits: Sequence[Split], path: Path) -> None:
    """Writes the client x class picture of each split, one panel each: the area of a disc is the number of images.

    Args:
        path: the ending chooses the format (.png, .svg, .pdf).

    Raises:
        FedskewError: the format is unknown or the file cannot be written.
    """
    with figure_style():
        save(split_figure(splits), path, dpi=150)


def metrics_picture(folder: StudyFolder, metrics: Sequence[str], path: Path) -> None:
    """Writes one panel per metric: mean and 95 % interval over seeds, over the study's axis from left to right.

    Args:
        metrics: the paper's that were measured if empty.
        path: the ending chooses the format (.png, .svg, .pdf).

    Raises:
        FedskewError: there is nothing to draw, a metric is unknown, or the file cannot be written.
    """
    from fedskew.report.evidence import gather
    from fedskew.report.figures.heterogeneity import heterogeneity_plate
    from fedskew.report.page.content import main_metrics

    evidence = gather(folder)
    shown = main_metrics(evidence, metrics)
    if not shown or evidence.across is None:
        raise FedskewError("there is nothing to draw: no complete run, or a study without axes")
    with figure_style():
        save(heterogeneity_plate(evidence, shown, "axis").draw(), path, dpi=150)


def split_figure(splits: Sequence[Split], columns: int = 3) -> Figure:
    """The figure of ``split_picture``, with so many panels side by side. Call it within ``figure_style``."""
    columns = min(columns, len(splits))
    lines = -(-len(splits) // columns)
    clients = min(40, max(len(split.counts) for split in splits))
    classes = max(len(split.class_names) for split in splits)
    width, height = 1.6 + 0.34 * classes, 1.7 + 0.27 * clients
    figure = Figure(figsize=(max(width, 3.6) * columns, height * lines), layout="constrained")
    largest = max(int(split.counts.max()) for split in splits)
    for index, split in enumerate(splits):
        axes = figure.add_subplot(lines, columns, index + 1)
        draw_split(axes, split, largest, clients)
        more = f"; the first {clients} of {len(split.counts)} clients" if len(split.counts) > clients else ""
        axes.set_title(
            "\n".join(fill(title, 44) for title in split.titles)
            + f"\nmean total variation {split.measures.total_variation:.2f}{more}",
            fontsize=8,
        )
    return figure


def draw_split(axes: Axes, split: Split, largest: int, most: int) -> Groups:
    """Draws one split.

    Args:
        largest: the number of images of the largest disc, so that pictures can be compared.
        most: clients to draw; the first ones.

    Returns:
        What each disc tells in a page.
    """
    counts = split.counts[:most]
    groups: Groups = {}
    for row, column in zip(*np.nonzero(counts), strict=True):
        bad = int(row) in split.malicious
        images = int(counts[row, column])
        gid = f"disc{row}-{column}"
        disc = Line2D(
            [column],
            [row],
            markersize=math.sqrt(170 * images / max(largest, 1)),
            color=MALICIOUS if bad else HONEST,
            marker="D" if bad else "o",
            markeredgewidth=0,
            gid=gid,
        )
        axes.add_line(disc)
        who = f"client {row}" + (" (adversary)" if bad else "")
        groups[gid] = {"title": f"{who}, class {split.class_names[column]}\n{images} images"}
    names = [f"{k} (adversary)" if k in split.malicious else str(k) for k in range(len(counts))]
    short = max(map(len, split.class_names)) <= 2
    axes.set_xticks(range(len(split.class_names)), split.class_names, rotation=0 if short else 90)
    axes.set_yticks(range(len(counts)), names)
    axes.set_xlabel("class")
    axes.set_ylabel("client")
    axes.set_xlim(-0.7, len(split.class_names) - 0.3)
    axes.set_ylim(len(counts) - 0.3, -0.7)
    axes.grid()
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    return groups
