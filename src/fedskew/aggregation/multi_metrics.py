"""Multi-metrics: the clients closest to all others in angle, length and Manhattan distance together (ICCV 2023)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.matrix import absolute_distances, cosines, products
from fedskew.errors import ConfigError
from fedskew.portable import deviation, mean, root, total, weighted_sum
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView
from fedskew.rounding import whole

FEWEST = 4
"""Updates: the covariance of three metrics needs one more than there are metrics."""
DIGITS = 9
"""Of the highest score, that count. The last bits of an inverse depend on the processor."""
DEPENDENT = 1e-6
"""Of the largest eigenvalue of the correlations: one below it belongs to metrics that say the same."""


def multi_metrics(
    updates: ClientUpdates, view: ServerView, *, share: Annotated[float, Field(gt=0, le=1)] = 0.3
) -> tuple[Tensor, AggregationTrace]:
    """The mean, weighted by n_k, of the ``share`` of the updates with the lowest scores, [P].

    Formula: t_i = the sums over j of (1 - cos(m_i, m_j))^2, ||m_i - m_j||_1 and | ||m_i|| - ||m_j|| |, with m_i = w +
    delta_i;
    score_i = t_i' Sigma^-1 t_i;
    the mean by n_k of the share * S updates with the lowest score_i

    Weights: the shares of n_k

    As in the authors' code, the metrics are of local **models** m_i = w + delta_i. Sigma is their covariance over the
    clients. A metric that is equal for all is left out, and
    metrics that say the same count once; there the authors' inverse does not exist. Scores equal to nine digits are
    taken in the order of the rows.

    (AlignIns' port takes deltas instead. The Manhattan distances are the same; angle and length are then those of
    the updates, which differ far more.)

    Args:
        share: of the updates that are taken, rounded down, at least one. The default takes 3 of 10 clients: the
            others never change the model.

    Raises:
        ConfigError: fewer than four updates.

    Reference: Huang, Li, Chen, Shi & Gao, "Multi-metrics adaptively identifies backdoors in Federated Learning",
    ICCV 2023.

    With one parameter and w = 0 all angles are 0, and both distances sum up to 12, 10, 10 and 24.

    >>> from fedskew import aggregate
    >>> aggregate("multi-metrics", [[1.0], [2.0], [3.0], [10.0]], share=0.5)
    tensor([2.5000])
    """
    deltas = updates.deltas
    count = len(deltas)
    if count < FEWEST:
        raise ConfigError(
            f"aggregator 'multi-metrics' needs at least {FEWEST} updates in a round, got {count}",
            "let more clients take part in each round",
        )
    inner = products(deltas, view.global_weights)
    lengths = root(inner.diagonal())
    metrics = (
        (1 - cosines(inner)).square().fill_diagonal_(0.0),
        absolute_distances(deltas),
        (lengths[:, None] - lengths).abs(),
    )
    scores = _scores(torch.stack([total(each) for each in metrics]))
    taken = scores.argsort(stable=True)[: max(1, whole(share * count))]
    kept = torch.zeros(count, dtype=torch.bool, device=deltas.device)
    kept[taken] = True
    weights = torch.where(kept, updates.num_examples, 0).double()
    weights /= weights.sum()
    delta = weighted_sum(weights, deltas).to(deltas.dtype)
    return delta, AggregationTrace(client_weights=weights)


def _scores(metrics: Tensor) -> Tensor:
    """t' Sigma^-1 t of each column t of [3, S], [S]: of metrics in units of their deviations, whose covariance is their
    matrix of correlations, because their sizes differ by many powers of ten."""
    spread = deviation(metrics)
    told = spread > 10**-DIGITS * metrics.amax(dim=1)
    scaled = metrics[told] / spread[told, None]
    centred = scaled - mean(scaled)[:, None]
    correlations = [[float(mean(a * b)) for b in centred] for a in centred]
    square = np.array(correlations).reshape(len(scaled), len(scaled))
    inverse = np.linalg.pinv(square, rcond=DEPENDENT, hermitian=True)
    scores = torch.zeros(metrics.shape[1], dtype=torch.float64, device=metrics.device)
    for row, factors in zip(scaled, inverse.tolist(), strict=True):
        for other, factor in zip(scaled, factors, strict=True):
            scores += factor * row * other
    highest = scores.max().clamp_min(torch.finfo(torch.float64).tiny)
    return (scores / highest).round(decimals=DIGITS)
