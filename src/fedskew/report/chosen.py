"""Which of many labels a picture shows, so that what it shows can be read; the tables always have them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly(items: Sequence[T], most: int, places: Sequence[float] | None = None) -> list[T]:
    """At most so many in their order, evenly spaced, the first and the last among them.

    Args:
        places: where each lies; by their numbers if it is not given. Where they lie close, fewer are chosen.
    """
    if len(items) <= most:
        return list(items)
    found = np.arange(len(items)) if places is None else np.asarray(places, dtype=np.float64)
    wanted = np.linspace(found.min(), found.max(), most)
    nearest = {int(np.abs(found - place).argmin()) for place in wanted}
    return [items[at] for at in sorted(nearest)]


def extremes(items: Sequence[T], values: Mapping[T, float], most: int) -> list[T]:
    """At most so many in their order: the first, and of the others those with the lowest and the highest values.

    Args:
        values: of the items that have one; those without come last.
    """
    if len(items) <= most:
        return list(items)
    others = sorted((item for item in items[1:] if item in values), key=lambda item: values[item])
    half = (most - 1) // 2
    wanted = {items[0], *others[:half], *others[len(others) - (most - 1 - half) :]}
    rest = (item for item in items if item not in wanted)
    while len(wanted) < most:
        wanted.add(next(rest))
    return [item for item in items if item in wanted]
