"""Centred clipping: updates are clipped around the previous aggregate (ICML 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import middle
from fedskew.aggregation.matrix import distances_to
from fedskew.portable import mean, total, weighted_sum
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State


def centered_clipping(
    *, tau: Annotated[float, Field(gt=0)] = 1.0, iterations: Annotated[int, Field(ge=1)] = 1
) -> Aggregator:
    """The previous round's result v, moved by updates that are clipped around it, [P].

    Formula: v + mean_i (delta_i - v) min(1, radius / ||delta_i - v||);
    radius = tau median_i ||delta_i - v||

    Weights: those of the updates in the result; what they lack to 1 is the weight of v

    v is 0 in the first round. With several iterations each one starts from the last one's result; the radius, tau
    times the median of ||delta_i - v|| at the start of the round, stays. Where it is 0, more than half of the
    updates are v, and so is the result. The numbers of examples are ignored.

    Each update moves v by at most radius / S in an iteration. The paper's tau is an absolute length, made for
    gradients; with updates of norm 1 its value of 100 would be the mean.

    Args:
        tau: in units of the round's median distance; a large one is the mean.
        iterations: the paper's L.

    Reference: Karimireddy, He & Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021.

    In the first round the distances are 1, 2 and 30 with the median 2: the third update becomes (0, 2).

    >>> from fedskew import aggregate
    >>> aggregate("centered-clipping", [[1.0, 0.0], [2.0, 0.0], [0.0, 30.0]])
    tensor([1.0000, 0.6667])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        deltas = updates.deltas
        start = (state["centre"] if "centre" in state else torch.zeros_like(deltas[0])).double()
        weights = torch.zeros(len(deltas), dtype=torch.float64, device=deltas.device)
        centre, radius = start, None
        for _ in range(iterations):
            apart = distances_to(centre, deltas)
            radius = tau * middle(apart.sort().values) if radius is None else radius
            kept = torch.where(apart > radius, radius / apart, 1.0)
            # The new centre is the old one's weight times it, and of each row its share.
            weights = weights * (1 - mean(kept)) + kept / len(deltas)
            centre = weighted_sum(weights, deltas).add_(start * (1 - total(weights)))
        delta = centre.to(deltas.dtype)
        return delta, AggregationTrace(client_weights=weights), {"centre": delta}

    return Aggregator(apply)
