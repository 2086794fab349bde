"""Who holds which classes: the split of each label of the axis from left to right, as a client x class picture.

What a run's folder says (``clients.json``) is enough. Where a run has none, its split is drawn again from the data,
if that is at hand and no code from outside would have to be imported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedskew.components.table import BUILT_IN
from fedskew.errors import FedskewError, RunError
from fedskew.partition.heterogeneity import Counts, heterogeneity
from fedskew.report.evidence import Evidence, RunNote, series_name
from fedskew.report.figures.charts import Chart, Groups, Plate, make_chart
from fedskew.report.figures.pictures import draw_split
from fedskew.study.splits import Split, distinct_splits

MOST_CLIENTS = 40
"""In one picture."""


@dataclass(frozen=True)
class ColumnSplit:
    """A split and the label of the axis from left to right that it belongs to (its position; 0 without axes)."""

    column: int
    split: Split


def column_splits(evidence: Evidence) -> tuple[list[ColumnSplit], str]:
    """The distinct splits of the study's first seed, and a sentence on those that could not be had, or ""."""
    seed = evidence.study.seeds[0]
    found: dict[tuple[int, bytes, tuple[int, ...]], tuple[list[str], Split]] = {}
    missing = []
    for note in evidence.notes:
        if note.plan.seed != seed:
            continue
        split = _recorded(note) or _drawn_again(note)
        if split is None:
            missing.append(note.plan.identity)
            continue
        cell = note.plan.cell
        column = evidence.columns.index(cell[evidence.across]) if evidence.across else 0
        series = series_name({name: label for name, label in cell.items() if name != evidence.across})
        titles, _ = found.setdefault((column, split.counts.tobytes(), split.malicious), ([], split))
        titles.append(series)
    splits = [
        ColumnSplit(column, _titled(split, evidence, column, titles))
        for (column, _, _), (titles, split) in sorted(found.items(), key=lambda item: item[0][0])
    ]
    words = ""
    if missing:
        words = (
            f"The split of {len(missing)} of the runs of seed {seed} is left out: their folders do not say who holds "
            "which classes (they have not been started, or have more than 1,000 clients), and the data is not at hand "
            "or needs code from outside."
        )
    return splits, words


def _titled(split: Split, evidence: Evidence, column: int, titles: list[str]) -> Split:
    where = [f"{evidence.across} {evidence.columns[column]}"] if evidence.across else []
    named = titles if len(titles) <= 3 else [titles[0], f"{len(titles) - 1} more"]
    series = [] if len(evidence.series) == 1 else [" / ".join(named)]
    return Split(
        (*where, *series),
        split.seed,
        split.class_names,
        split.counts,
        split.malicious,
        split.held_out,
        split.measures,
    )


def _recorded(note: RunNote) -> Split | None:
    try:
        found = note.folder.read_clients()
        if found is None or found.label_counts is None:
            return None
        counts: Counts = np.array(found.label_counts, dtype=np.int64)
    except (RunError, ValueError):  # damaged, or rows of different lengths
        return None
    if counts.ndim != 2 or counts.shape[1] != len(found.class_names):
        return None
    honest = [k for k in range(len(counts)) if k not in found.malicious]
    measures = heterogeneity(counts[honest])
    return Split((), note.plan.seed, found.class_names, counts, found.malicious, found.held_out, measures)


def _drawn_again(note: RunNote) -> Split | None:
    from fedskew.config import Execution

    experiment = note.plan.experiment
    if experiment.data.label not in BUILT_IN["dataset"] or experiment.split.label not in BUILT_IN["split"]:
        return None
    try:
        return distinct_splits([note.plan], Execution(download=False))[0]
    except FedskewError:  # the data is not at hand, or the split cannot be made
        return None


def class_names(splits: list[ColumnSplit]) -> tuple[str, ...]:
    """The names of the classes, if all splits agree on them."""
    names = {one.split.class_names for one in splits}
    return names.pop() if len(names) == 1 else ()


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
        from fedskew.report.figures.pictures import split_figure

        # The splits of one label side by side, where each label has as many.
        each = {sum(other.column == one.column for other in splits) for one in splits}
        return split_figure(
            [one.split for one in splits], 3 if each == {1} or len(each) > 1 else min(3, each.pop())
        )

    return Plate("splits", "Images per client and class; the area of a disc is the number of images.", make)
