"""Reasons to distrust how the data is spread: it is not what the study's axis says, or hardly spread at all.

The same is found before anything is trained (``fedskew inspect``) and from the records of a study.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fedskew.analysis.contrasts import scale_of
from fedskew.analysis.distrust.reasons import Finished, Reason, listed
from fedskew.errors import RunError
from fedskew.partition.heterogeneity import Counts
from fedskew.study.across import axis_across, changes_the_split
from fedskew.study.grid import Study
from fedskew.study.splits import Split
from fedskew.wording import cell_in_words

FAR_ABOVE = 10
"""Times an equal share, from which on one client holds far more than the others."""
MOST = 0.5
"""The share of all images (of ``FEW`` clients or more) or of all clients from which on something is serious."""
FEW = 4
MANY_EMPTY = 0.1
"""The share of honest clients without data that is a caution; from ``MOST`` on it is serious."""
TURN = 0.02
"""By how much a measure must fall back to not follow an axis; both measures lie between 0 and 1."""
MEASURES = {"total_variation": "label skew (total variation)", "size_gini": "size skew (Gini coefficient)"}


@dataclass(frozen=True)
class Spread:
    """How the data of one run is spread over its honest clients.

    Attributes:
        sizes: images of each honest client, by id; empty where they are not known.
        measures: those of ``partition.heterogeneity``, by name.
        runs: the folders it is about; none before anything has run.
    """

    cell: Mapping[str, Any]
    sizes: Mapping[int, int]
    measures: Mapping[str, float]
    runs: tuple[str, ...] = ()


def planned_spreads(splits: Iterable[Split]) -> list[Spread]:
    """Of splits that were made without training, one for each cell."""
    return [
        Spread(cell, _sizes(split.counts, split.malicious), split.measures.as_dict())
        for split in splits
        for cell in split.cells
    ]


def recorded_spreads(runs: Sequence[Finished]) -> list[Spread]:
    """Of complete runs."""
    found = []
    for run in runs:
        measures = {name: float(run.row.get(f"skew_{name}", math.nan)) for name in (*MEASURES, "empty")}
        found.append(Spread(run.plan.cell, _recorded_sizes(run), measures, (run.name,)))
    return found


def _recorded_sizes(run: Finished) -> dict[int, int]:
    try:
        clients = run.folder.read_clients()
        if clients is None or clients.label_counts is None:
            return {}
        return _sizes(np.array(clients.label_counts, dtype=np.int64), clients.malicious)
    except (RunError, ValueError):  # damaged: nothing is said of it
        return {}


def _sizes(counts: Counts, malicious: Sequence[int]) -> dict[int, int]:
    return {client: int(row.sum()) for client, row in enumerate(counts) if client not in malicious}


def spread_reasons(study: Study, spreads: Sequence[Spread]) -> Iterator[Reason]:
    """One client with far more than its share, many without any data, and skew that does not follow the axis."""
    yield from client_reasons(spreads)
    yield from axis_reasons(study, spreads)


def client_reasons(spreads: Sequence[Spread]) -> Iterator[Reason]:
    """One client with far more than its share, and many without any data."""
    yield from _per_cell(
        "one-client-holds-most", "one client holds far more than its share", spreads, _hoarded
    )
    yield from _per_cell(
        "empty-clients", "many honest clients have no data and send nothing", spreads, _empty
    )


def _per_cell(
    code: str, what: str, spreads: Sequence[Spread], check: Callable[[Spread], tuple[float, str] | None]
) -> Iterator[Reason]:
    """One reason for all cells in which ``check``, (spread) -> (how much, words) or None, finds something."""
    worst: dict[str, tuple[float, str]] = {}
    behind: list[str] = []
    for spread in spreads:
        if found := check(spread):
            cell = cell_in_words(spread.cell) or "the experiment"
            worst[cell] = max(worst.get(cell, (0.0, "")), found)
            behind += spread.runs
    if worst:
        severity: Literal["serious", "caution"] = (
            "serious" if max(share for share, _ in worst.values()) >= MOST else "caution"
        )
        words = listed([f"{cell}: {text}" for cell, (_, text) in worst.items()])
        yield Reason(code, severity, f"{what}: {words}", tuple(dict.fromkeys(behind)))


def _hoarded(spread: Spread) -> tuple[float, str] | None:
    total = sum(spread.sizes.values())
    if len(spread.sizes) < FEW or not total:
        return None
    client, largest = max(spread.sizes.items(), key=lambda item: item[1])
    share, times = largest / total, largest * len(spread.sizes) / total
    if share < MOST and times < FAR_ABOVE:
        return None
    return share, (
        f"client {client} has {largest:,} of {total:,} images ({100 * share:.0f} %), {times:.0f} times an equal share"
    )


def _empty(spread: Spread) -> tuple[float, str] | None:
    clients = len(spread.sizes)
    empty = sum(not size for size in spread.sizes.values())
    if not clients or empty / clients < MANY_EMPTY:
        return None
    return empty / clients, f"{empty} of {clients}"


def axis_reasons(study: Study, spreads: Sequence[Spread]) -> Iterator[Reason]:
    """An axis of numbers that changes the split, over which neither measure of skew goes in one direction (over alpha:
    grows as alpha falls); all other axes averaged."""
    axis = axis_across(study)
    scale = scale_of(study, axis) if axis else None
    if axis is None or scale is None or scale.places is None or not changes_the_split(study.axes[axis]):
        return
    places = scale.places
    rising = scale.step.startswith("halving")
    parts: dict[str, list[Spread]] = {}
    for spread in spreads:
        rest = {name: label for name, label in spread.cell.items() if name != axis}
        # Only what changes the split makes a difference; defences and attacks do not.
        kept = {name: label for name, label in rest.items() if _touches_the_split(study, name)}
        parts.setdefault(cell_in_words(kept), []).append(spread)
    words, behind = [], []
    for part, group in parts.items():
        labels = sorted({spread.cell[axis] for spread in group}, key=places.__getitem__)
        if len(labels) < 2:
            continue
        courses = {name: [_mean(group, axis, label, name) for label in labels] for name in MEASURES}
        if any(_goes_one_way(course, rising) for course in courses.values()):
            continue
        shown = ", ".join(f"{value:.2f}" for value in courses["total_variation"])
        ends = f"{axis} {', '.join(map(str, labels))}"
        words.append(f"{part + ': ' if part else ''}{MEASURES['total_variation']} {shown} at {ends}")
        behind += [run for spread in group for run in spread.runs]
    if words:
        yield Reason(
            "skew-not-along-axis",
            "serious",
            f"the measured skew does not {'grow as ' + axis + ' falls' if rising else 'follow ' + axis}, so that the "
            f"axis is not one of heterogeneity: {listed(words)}",
            tuple(dict.fromkeys(behind)),
        )


def _mean(group: Sequence[Spread], axis: str, label: Any, measure: str) -> float:
    values = [spread.measures.get(measure, math.nan) for spread in group if spread.cell[axis] == label]
    return float(np.mean(values))


def _goes_one_way(course: Sequence[float], rising: bool) -> bool:
    """Whether a measure changes over the axis, and never falls back by more than ``TURN``; NaN counts as yes, because
    nothing is known then."""
    if any(map(math.isnan, course)):
        return True
    steps = [later - earlier for earlier, later in itertools.pairwise(course)]
    ways = (1,) if rising else (1, -1)
    return any(sum(steps) * way > TURN and min(step * way for step in steps) > -TURN for way in ways)


def _touches_the_split(study: Study, axis: str) -> bool:
    paths = [path for _, changes in study.axes[axis].points() for path in changes]
    return any(path.split(".")[0] in ("split", "clients", "data", "adversaries") for path in paths)
