"""A split as a picture: clients x classes, where the area of a disc is the number of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedskew.report.figures.charts import Chart, Groups, Plate, make_chart
from fedskew.report.figures.style import HONEST, MALICIOUS, figure_style
from fedskew.report.figures.svg import save
from fedskew.report.splits import ColumnSplit
from fedskew.study.splits import Split

MOST_CLIENTS = 40
"""In one picture."""


def split_picture(splits: Sequence[Split], path: Path) -> None:
    """Writes the client x class picture of each split, one panel each: the area of a disc is the number of images.

    Args:
        path: the ending chooses the format (.png, .svg, .pdf).

    Raises:
        FedskewError: the format is unknown or the file cannot be written.
    """
    with figure_style():
        save(split_figure(splits), path, dpi=150)


def split_figure(splits: Sequence[Split], columns: int = 3) -> Figure:
    """The figure of ``split_picture``, with so many panels side by side. Call it within ``figure_style``."""
    columns = min(columns, len(splits))
    lines = -(-len(splits) // columns)
    clients = min(MOST_CLIENTS, max(len(split.counts) for split in splits))
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
        What each disc shows under the pointer in a page.
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


def split_charts(splits: list[ColumnSplit]) -> list[Chart]:
    """A chart for each split."""
    largest = max((int(one.split.counts.max()) for one in splits), default=1)
    found = []
    for number, one in enumerate(splits):
        split = one.split
        rows, classes = min(len(split.counts), MOST_CLIENTS), len(split.class_names)
        below = (
            0.5 if max(map(len, split.class_names)) <= 2 else 0.35 + 0.064 * max(map(len, split.class_names))
        )
        title = ", ".join(split.titles)
        size = (1.35 + 0.26 * classes, below + 0.12 + 0.21 * rows)

        def make(axes: Axes, split: Split = split) -> Groups:
            return draw_split(axes, split, largest, MOST_CLIENTS)

        found.append(
            make_chart(
                f"split-{number}",
                title,
                f"images per client and class, {title}: the area of a disc is the number of images",
                make,
                {"column": str(one.column)},
                size,
                margins=(1.2, below),
            )
        )
    return found


def split_caption(split: Split) -> str:
    """What the picture of a split does not show."""
    more = ""
    if len(split.counts) > MOST_CLIENTS:
        more = f"; the first {MOST_CLIENTS} of {len(split.counts)} clients are drawn"
    held = f"; {split.held_out} images held out for validation" if split.held_out else ""
    measures = split.measures
    return (
        f"Seed {split.seed}. Honest clients: mean total variation distance {measures.total_variation:.2f}, "
        f"{measures.effective_classes:.1f} effective classes each, {measures.smallest} to {measures.largest} images"
        f"{held}{more}."
    )


def split_plate(splits: list[ColumnSplit]) -> Plate:
    """The figure for a paper."""

    def make() -> Figure:
        # The splits of one label side by side, where each label has as many.
        each = {sum(other.column == one.column for other in splits) for one in splits}
        return split_figure(
            [one.split for one in splits], 3 if each == {1} or len(each) > 1 else min(3, each.pop())
        )

    return Plate("splits", "Images per client and class; the area of a disc is the number of images.", make)
