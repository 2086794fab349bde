"""FLAME: the densest majority of the models, clipped, averaged and noised (USENIX Security 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.clipped import clipped_mean, shares
from fedskew.aggregation.columns import middle
from fedskew.aggregation.majority import majority
from fedskew.aggregation.matrix import cosines, products, row_norms
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView

DECIMALS = 12
"""Of a cosine distance, that count: models that point in the same direction are 0 apart but for rounding."""


def flame(
    updates: ClientUpdates, view: ServerView, *, noise: Annotated[float, Field(ge=0)] = 0.001
) -> tuple[Tensor, AggregationTrace]:
    """The mean of the admitted updates, clipped to the median norm, with noise, [P].

    Formula: d_ij = 1 - cos(w + delta_i, w + delta_j);
    A = the first group of single linkage on d that holds more than half of the clients;
    mean_{i in A} delta_i min(1, S_t / ||delta_i||) + N(0, (noise S_t)^2), with S_t = median_i ||delta_i||

    Weights: the updates' shares in the mean

    The distances d are those of local **models**, to twelve decimals. Admitted are those in the first group of single
    linkage that holds more than half of the clients, which is HDBSCAN's cluster with a least size of S // 2 + 1
    (``majority``); so there is always one. S_t is the median norm of **all** updates; the noise is in every
    parameter. Numbers of examples are ignored.

    Args:
        noise: the paper's lambda, in units of the median norm; 0 adds none. On the norm of the update it has the effect
            of noise * sqrt(P): with 61,706 parameters and 0.001 a quarter of the median norm.

    Reference: Nguyen et al., "FLAME: Taming Backdoors in Federated Learning", USENIX Security 2022
    (arXiv 2101.02281). Two public ports also multiply the noise by the standard deviation of each layer's weights.

    With w = 0 the first two models have the distance 0 and are two of three. The norms are 3, 4 and 6, S_t is 4.

    >>> from fedskew import aggregate
    >>> aggregate("flame", [[3.0, 0.0], [4.0, 0.0], [0.0, -6.0]], noise=0.0)
    tensor([3.5000, 0.0000])
    """
    deltas = updates.deltas
    apart = (1 - cosines(products(deltas, view.global_weights))).round(decimals=DECIMALS).clamp_min(0.0)
    admitted = majority(apart.fill_diagonal_(0.0))
    norms = row_norms(deltas)
    bound = middle(norms.sort().values)
    delta = clipped_mean(deltas, norms, bound, admitted)
    if noise:
        drawn = torch.from_numpy(view.rng.standard_normal(deltas.shape[1]))
        delta += drawn.to(delta.device).mul_(noise * bound)
    return delta.to(deltas.dtype), AggregationTrace(client_weights=shares(admitted))
