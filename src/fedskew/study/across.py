"""Which axis of a study a reader goes along: the one that says how the data is spread, if there is one."""

from __future__ import annotations

import math

from fedskew.study.grid import Axis, Study


def axis_across(study: Study) -> str | None:
    """The axis that goes from left to right in pictures, and along which a claim is looked at point by point.

    ``alpha`` if there is one, else the first axis that changes only the split, else the first axis of numbers, else the
    first axis; None if there are no axes.
    """
    names = list(study.axes)
    of_the_split = [name for name in names if changes_the_split(study.axes[name])]
    numeric = [name for name in names if is_numeric(study.axes[name])]
    return next((name for name in ("alpha", *of_the_split, *numeric, *names) if name in names), None)


def is_numeric(axis: Axis) -> bool:
    """Whether an axis has several points and all of them are numbers."""
    labels = [label for label, _ in axis.points()]
    return len(labels) > 1 and all(
        isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label)
        for label in labels
    )


def changes_the_split(axis: Axis) -> bool:
    """Whether an axis changes the split and nothing else."""
    paths = {path for _, changes in axis.points() for path in changes}
    return bool(paths) and all(path.split(".")[0] == "split" for path in paths)
