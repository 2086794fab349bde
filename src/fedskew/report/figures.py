"""Pictures, with matplotlib's non-interactive canvas: nothing here needs a screen or changes global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fedskew.errors import FedskewError
from fedskew.metric_names import PERCENT
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
    clients = min(40, max(len(split.counts) for split in splits))
    classes = max(len(split.class_names) for split in splits)
    width, height = 1.6 + 0.34 * classes, 1.7 + 0.27 * clients
    figure = Figure(figsize=(max(width, 3.6) * columns, height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    largest = max(int(split.counts.max()) for split in splits)
    for index, split in enumerate(splits):
        axes = figure.add_subplot(lines, columns, index + 1)
        counts = split.counts[:clients]
        classes = len(split.class_names)
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
        more = f"; the first {clients} of {len(split.counts)} clients" if len(split.counts) > clients else ""
        axes.set_title(
            "\n".join(split.titles) + f"\nmean total variation {split.measures.total_variation:.2f}{more}",
            fontsize=8,
            loc="left",
        )
        axes.set_ylabel("client", fontsize=8)
    _save(figure, path)


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe & Ito's palette, which readers who confuse colours can tell apart; series differ by marker as well."""
MARKERS = "osD^vPX"


def metrics_picture(summary: pd.DataFrame, axes: Sequence[str], metrics: Sequence[str], path: Path) -> None:
    """Writes one panel per metric: its mean and standard deviation over seeds, for each cell of a study.

    Args:
        summary: as ``analysis.summary_table`` makes it.
        axes: the study's axes; the first goes from left to right, the others make the series.

    Raises:
        FedskewError: there is nothing to draw, or the file cannot be written.
    """
    if summary.empty or not axes:
        raise FedskewError("there is nothing to draw: no complete run, or a study without axes")
    across = list(dict.fromkeys(summary[axes[0]]))
    series = list(dict.fromkeys(summary[list(axes[1:])].itertuples(index=False, name=None)))
    figure = Figure(figsize=(3.2 * len(metrics), 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        for number, labels in enumerate(series):
            rows = summary[(summary[list(axes[1:])] == list(labels)).all(axis=1)]
            places = [
                across.index(label) + 0.09 * (number - (len(series) - 1) / 2) for label in rows[axes[0]]
            ]
            panel.errorbar(
                places,
                rows[metric],
                yerr=rows[f"{metric} std"],
                label=", ".join(map(str, labels)) or None,
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                linewidth=1.2,
                capsize=3,
            )
        panel.set_xticks(range(len(across)), [str(label) for label in across])
        panel.set_xlim(-0.4, len(across) - 0.6)
        panel.set_xlabel(axes[0])
        panel.set_title(
            metric.replace("_", " ") + (" [%]" if metric in PERCENT else ""), fontsize=10, loc="left"
        )
        panel.grid(axis="y", linewidth=0.3, alpha=0.6)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    handles, names = panels[0].get_legend_handles_labels()
    if names:
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date in it, the same figure is the same file.
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise FedskewError(f"cannot write the picture {path}: {error}") from None
