"""Who lies near whom: ranks of rows from their squared distances (``matrix.squared_distances``)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.portable import row_mean, total
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
    weights = torch.zeros(len(deltas), device=deltas.device)
    weights[chosen] = 1 / len(chosen)
    return row_mean(deltas[chosen.sort().values]), AggregationTrace(client_weights=weights)
