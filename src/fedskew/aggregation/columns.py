"""Rules that look at each parameter by itself: the clients' values of some parameters at a time, in ascending order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedskew.aggregation.matrix import blocks

_ALL = slice(None)


def by_parameter(rule: Callable[[Tensor], Tensor], matrix: Tensor, rows: Tensor | slice = _ALL) -> Tensor:
    """A rule applied to every column of some rows of [S, P], [P] in the matrix's type.

    Args:
        rule: the values of c parameters, [n, c], each column in ascending order -> [c].
        rows: int64 [n]; all S unless given.
    """
    result = torch.empty_like(matrix[0])
    for columns in blocks(matrix):
        found = rule(_ordered(matrix[:, columns][rows])).to(result.dtype)
        # -0.0 becomes 0.0: where sorting puts which of equal numbers depends on the processor.
        result[columns] = found + 0.0
    return result


def middle(ordered: Tensor) -> Tensor:
    """The median over the first axis, which is in ascending order: [n, ...] -> [...]; for even n the mean of the
    middle two."""
    upper, lower = len(ordered) // 2, (len(ordered) - 1) // 2
    # Halved before they are added, so that large but finite entries do not overflow.
    return ordered[lower] if lower == upper else ordered[lower] / 2 + ordered[upper] / 2


def mean_near_middle(ordered: Tensor, kept: int) -> Tensor:
    """The mean of the ``kept`` values that are nearest to the median, float64 [c], of each column of [n, c], which is
    in ascending order. Of two that are equally near, the smaller one is kept."""
    values = ordered.double()
    median = middle(values)
    # What is kept is a window of the column. It moves on while the value that enters is nearer than the one that
    # leaves, which holds up to some place and not after it.
    enters, leaves = values[kept:], values[: len(values) - kept]
    first = (enters - median < median - leaves).sum(dim=0)
    result = torch.zeros_like(median)
    for rank, row in enumerate(values):
        result += torch.where((first <= rank) & (rank < first + kept), row, 0.0)
    return result / kept


def _ordered(columns: Tensor) -> Tensor:
    """A copy of some columns [S, c], each in ascending order."""
    if columns.device.type != "cpu":
        return columns.sort(dim=0).values
    rows = columns.T.clone(memory_format=torch.contiguous_format)
    rows.numpy().sort(axis=1)  # in place; vectorised, and several times as fast as PyTorch's
    return rows.T.contiguous()
