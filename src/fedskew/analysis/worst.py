"""The worst of several runs of a seed, for example over attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Worst:
    """Of which axis the worst value counts.

    Attributes:
        highest: whether the highest value is the worst; else the lowest.
        besides: a label that does not count.
    """

    axis: str
    highest: bool
    besides: Any = None


def worst_rows(
    frame: pd.DataFrame, axis: str, by: list[str], column: str, *, highest: bool, ties: bool = False
) -> pd.DataFrame:
    """Of each group the row whose value is the worst, the first of several.

    A group that lacks a label of the axis which another one has is left out: the worst of fewer would look better.

    Args:
        column: of values, none of them NaN.
        highest: whether the highest value is the worst; else the lowest.
        ties: all rows with the worst value instead of the first.
    """
    groups = frame.groupby(by, sort=False)
    there = frame[groups[axis].transform("nunique") == frame[axis].nunique()]
    values = there.groupby(by, sort=False)[column]
    if ties:
        return there[there[column] == values.transform("max" if highest else "min")]
    return there.loc[values.idxmax() if highest else values.idxmin()] if len(there) else there
