"""Pictures, with matplotlib's non-interactive canvas: nothing here needs a screen or changes global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fedskew.errors import FedskewError
from fedskew.splits import Split


def split_picture(splits: Sequence[Split], path: Path) -> None:
    """Writes the client x class picture of each split, one panel each: the area of a disc is the number of images.

    Args:
        path: the ending chooses the format (.png, .svg, .pdf).

    Raises:
        FedskewError: the format is unknown or the file cannot be written.
    """
    columns = min(3, len(splits))
    lines = -(-len(splits) // columns)
    clients, classes = splits[0].counts.shape
    shown = min(clients, 40)
    width, height = 1.6 + 0.34 * classes, 1.7 + 0.27 * shown
    figure = Figure(figsize=(max(width, 3.6) * columns, height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    largest = max(int(split.counts.max()) for split in splits)
    for index, split in enumerate(splits):
        axes = figure.add_subplot(lines, columns, index + 1)
        counts = split.counts[:shown]
        rows, across = np.nonzero(counts)
        colours = np.where(np.isin(rows, split.malicious), "#d55e00", "#0072b2")
        axes.scatter(across, rows, s=190 * counts[rows, across] / largest, c=colours, linewidths=0)
        axes.set_xticks(range(classes), split.class_names, rotation=90, fontsize=7)
        names = [f"{k} (adversary)" if k in split.malicious else str(k) for k in range(len(counts))]
        axes.set_yticks(range(len(counts)), names, fontsize=7)
        axes.set_xlim(-0.7, classes - 0.3)
        axes.set_ylim(len(counts) - 0.3, -0.7)
        axes.grid(linewidth=0.3, alpha=0.5)
        axes.set_axisbelow(True)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(length=0)
        more = f"; the first {shown} of {len(split.counts)} clients" if len(split.counts) > shown else ""
        axes.set_title(
            "\n".join(split.titles) + f"\nmean total variation {split.measures.total_variation:.2f}{more}",
            fontsize=8,
            loc="left",
        )
        axes.set_ylabel("client", fontsize=8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise FedskewError(f"cannot write the picture {path}: {error}") from None
