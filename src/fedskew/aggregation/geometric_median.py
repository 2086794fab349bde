"""Geometric median: the point with the smallest sum of distances to the updates (RFA, 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import middle
from fedskew.aggregation.matrix import distances_to, row_norms
from fedskew.portable import norm, total, weighted_sum
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView

STILL = 1e-6
"""The iterations end where v moves by no more than this share of the median distance to the updates."""


def geometric_median(
    updates: ClientUpdates,
    view: ServerView,
    *,
    iterations: Annotated[int, Field(ge=1)] = 100,
    smoothing: Annotated[float, Field(gt=0)] = 1e-5,
    weighted: bool = False,
) -> tuple[Tensor, AggregationTrace]:
    """The point with the smallest sum of distances to the updates, by the smoothed iteration of Weiszfeld, [P].

    Formula: argmin_v sum_i a_i ||v - delta_i||, with a_i = 1 / S, or n_i / sum_k n_k if weighted

    Weights: the last beta_i / sum_i beta_i

    v starts at the mean sum_i a_i delta_i. An iteration sets beta_i = a_i / max(nu, ||v - delta_i||) and
    v = sum_i beta_i delta_i / sum_i beta_i, with nu = smoothing * median_i ||delta_i||, so that nothing depends on the
    unit of the updates.

    Args:
        iterations: at most so many; fewer where v stands still (``STILL``). An iteration takes the pull of far updates
            down by the factor f / (S - f) only: three of ten at a distance of 1e6 still move the result by more than
            1e4 after the authors' 4, and by less than the honest updates' diameter after 16.
        smoothing: the distance below which an update gets no more weight, in units of the median norm. The authors use
            1e-5 without a unit.
        weighted: a_i = n_i / sum_i n_i, as the authors do, instead of 1 / S. Clients report n_i themselves, so an
            adversary can lie about it; less than half of the *weight* may be malicious.

    The authors stop where the sum of distances shrinks by less than a millionth of it. Far updates can make this sum
    so large that the iterations end early; they have no such influence on the median distance.

    Reference: Pillutla, Kakade & Harchaoui, "Robust Aggregation for Federated Learning", IEEE Transactions on Signal
    Processing 70, 2022 (arXiv 1912.13445).

    Of four corners, the point is where the diagonals cross, however far one corner is.

    >>> from fedskew import aggregate
    >>> aggregate("geometric-median", [[0.0, 0.0], [100.0, 100.0], [0.0, 2.0], [2.0, 0.0]])
    tensor([1.0000, 1.0000])
    """
    deltas = updates.deltas
    sizes = updates.num_examples.double() if weighted else torch.ones(len(deltas), dtype=torch.float64)
    share = (sizes / sizes.sum()).to(deltas.device)
    nu = smoothing * middle(row_norms(deltas).sort().values)
    weights, point = share, weighted_sum(share, deltas)
    for _ in range(iterations):
        apart = distances_to(point, deltas)
        weights = _weights(share, apart.clamp_min(nu))
        previous, point = point, weighted_sum(weights, deltas)
        if norm(point - previous) <= STILL * middle(apart.sort().values):
            break
    return point.to(deltas.dtype), AggregationTrace(client_weights=weights)


def _weights(share: Tensor, apart: Tensor) -> Tensor:
    """a_i / d_i, scaled to the sum 1; rows at distance 0 have all the weight where there are any."""
    nearest = apart.min()
    pull = share * torch.where(apart > nearest, nearest / apart, 1.0)
    return pull / total(pull)
