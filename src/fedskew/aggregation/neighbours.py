"""Who lies near whom: ranks of rows from their squared distances (``matrix.squared_distances``)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.aggregation.matrix import squared_distances
from fedskew.portable import total, weighted_sum
from fedskew.protocols import AggregationTrace


def krum_scores(distances: Tensor, f: int) -> Tensor:
    """The sum of the squared distances [n, n] of each row to the n - f - 2 others nearest to it, at least one, [n]."""
    count = len(distances)
    others = distances.clone().fill_diagonal_(torch.inf)
    return total(others.sort(dim=1).values[:, : max(1, count - f - 2)])


def mean_of(deltas: Tensor, chosen: Tensor) -> tuple[Tensor, AggregationTrace]:
    """The mean of some rows of [S, P], in the order of the matrix, and a trace with equal weights for these alone.

    Args:
        chosen: int64 [m], distinct.
    """
    kept = torch.zeros(len(deltas), device=deltas.device)
    kept[chosen] = 1.0
    # All rows with weights of 0 and 1, not a copy of some: the same bits, without the memory.
    mean = weighted_sum(kept, deltas) / len(chosen)
    return mean.to(deltas.dtype), AggregationTrace(client_weights=kept / len(chosen))


def closest(deltas: Tensor, f: int, m: int) -> tuple[Tensor, AggregationTrace]:
    """The mean of the m rows of [S, P] with the lowest ``krum_scores``, of equal ones the first, and its trace."""
    scores = krum_scores(squared_distances(deltas), f)
    return mean_of(deltas, scores.argsort(stable=True)[:m])
