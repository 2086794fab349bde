"""Who holds which classes: the splits of a study, one for each label of the axis from left to right.

What a run's folder says (``clients.json``) is enough. Where a run has none, its split is drawn again from the data,
if the data is at hand and no plug-in would have to be imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fedskew.components.known import is_built_in
from fedskew.config import Execution
from fedskew.errors import FedskewError
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.report.chosen import evenly
from fedskew.report.evidence import Evidence, series_name
from fedskew.study.notes import RunNote, read_counts
from fedskew.study.splits import Split, distinct_splits


@dataclass(frozen=True)
class ColumnSplit:
    """A split and the label of the axis from left to right that it belongs to (its position; 0 without axes)."""

    column: int
    split: Split


def column_splits(evidence: Evidence) -> tuple[list[ColumnSplit], str]:
    """The distinct splits of the study's first seed, and a sentence on those that are not available, or ""."""
    seed = evidence.study.seeds[0]
    found: dict[tuple[int, bytes, tuple[int, ...]], tuple[list[str], Split]] = {}
    missing = []
    for note in evidence.notes:
        if note.plan.seed != seed:
            continue
        split = _recorded(note) or _drawn_again(note, evidence.data_dir)
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
            "or needs a plug-in, which a report does not import."
        )
    return splits, words


MOST_SPLITS = 12
"""In a page."""


def few_splits(splits: list[ColumnSplit], words: str) -> tuple[list[ColumnSplit], str]:
    """The splits that are drawn, and the words with which these are where they are not all."""
    shown = evenly(splits, MOST_SPLITS)
    if len(shown) < len(splits):
        words = f"{len(shown)} of the {len(splits)} splits are drawn, evenly spaced in the order of the study. {words}"
    return shown, words.strip()


def _titled(split: Split, evidence: Evidence, column: int, titles: list[str]) -> Split:
    where = [f"{evidence.across} {evidence.columns[column]}"] if evidence.across else []
    named = titles if len(titles) <= 3 else [titles[0], f"{len(titles) - 1} more"]
    series = [] if len(evidence.series) == 1 else [" / ".join(named)]
    return replace(split, titles=(*where, *series))


def _recorded(note: RunNote) -> Split | None:
    """The split that the run's folder holds; None if there is none or it is damaged."""
    recorded = read_counts(note)
    if recorded is None:
        return None
    found, counts = recorded
    honest = [k for k in range(len(counts)) if k not in found.malicious]
    measures = heterogeneity(counts[honest])
    return Split(
        (),
        note.plan.seed,
        found.class_names,
        counts,
        found.malicious,
        found.held_out,
        measures,
        shared=found.shared,
        names=found.names if len(found.names) == len(counts) else (),
    )


def _drawn_again(note: RunNote, data_dir: Path | None) -> Split | None:
    """The same split made once more; None if that needs data or code that is not here."""
    experiment = note.plan.experiment
    if not is_built_in("dataset", experiment.data) or not is_built_in("split", experiment.split):
        return None
    try:
        return distinct_splits([note.plan], Execution(data_dir, download=False))[0]
    except FedskewError:  # the data is not at hand, or the split cannot be made
        return None


def class_names(splits: list[ColumnSplit]) -> tuple[str, ...]:
    """The names of the classes, if all splits agree on them."""
    names = {one.split.class_names for one in splits}
    return names.pop() if len(names) == 1 else ()
