"""Bulyan: Krum chooses rows, then each parameter's values near the median are averaged (ICML 2018)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import by_parameter, mean_near_middle
from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.matrix import squared_distances
from fedskew.aggregation.neighbours import krum_scores, mean_of
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView


def bulyan(
    updates: ClientUpdates, view: ServerView, *, f: Annotated[int, Field(ge=0)]
) -> tuple[Tensor, AggregationTrace]:
    """For each parameter the mean of the theta - 2f values nearest to the median of theta updates, [P].

    Formula: theta = S - 2f updates by Krum, one after another;
    for each parameter the mean of the theta - 2f of their values that are nearest to their median

    Weights: 1 / theta for the updates that were chosen and 0 for the others, which have no influence on the result

    The theta = S - 2f updates are chosen one after another: each is the one that Krum takes of those that are left,
    with its scores computed again among these (of n that are left, over the n - f - 2 nearest, at least one). Equal
    scores are taken in the order of the rows; of two values equally near to the median, the smaller one is kept. The
    numbers of examples are ignored. With f = 1 or 2 the last choices look at one neighbour, so the two nearest rows of
    all have equal scores and the order of the clients does matter.

    What the second step leaves out differs from parameter to parameter and is not in the weights.

    Args:
        f: how many of a round's updates may be malicious; 0 is the mean.

    Raises:
        ConfigError: fewer than 4f + 3 updates.

    Reference: El Mhamdi, Guerraoui & Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium",
    ICML 2018.

    With f = 1, theta = 5. The scores are sums over the 4, 3, 2, 1 and 1 nearest, and the lowest ones are 10 (of 2 and
    3), 9 (of 3), 10 (of 1 and 4), 1 (of 4 and 5) and 25 (of 0 and 5), so that Krum takes 2, 3, 1, 4 and 0. Of these,
    1, 2 and 3 are nearest to the median 2.

    >>> from fedskew import aggregate
    >>> aggregate("bulyan", [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [90.0]], f=1)
    tensor([2.])
    """
    deltas = updates.deltas
    count = len(deltas)
    check_enough("aggregator 'bulyan'", count, 4 * f + 3, "4f + 3", f=f)
    theta = count - 2 * f
    distances = squared_distances(deltas)
    left, chosen = list(range(count)), []
    for _ in range(theta):
        best = int(krum_scores(distances[left][:, left], f).argmin())
        chosen.append(left.pop(best))
    rows = torch.tensor(chosen, device=deltas.device)
    mean, trace = mean_of(deltas, rows)
    if not f:
        return mean, trace
    return by_parameter(lambda ordered: mean_near_middle(ordered, theta - 2 * f), deltas, rows), trace
