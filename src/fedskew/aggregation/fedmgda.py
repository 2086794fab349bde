"""FedMGDA+: a common direction along which no client's loss rises (IEEE TNSE 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import middle
from fedskew.aggregation.matrix import cosines, products
from fedskew.aggregation.min_norm import shortest_mixture
from fedskew.portable import root, weighted_sum
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView


def fedmgda(
    updates: ClientUpdates, view: ServerView, *, epsilon: Annotated[float, Field(ge=0, le=1)]
) -> tuple[Tensor, AggregationTrace]:
    """The shortest mixture of the clients' directions, so that nobody loses, times the median norm, [P].

    Formula: M sum_k lambda_k delta_k / ||delta_k|| with M the median of the updates' norms

    Among the weights lambda_k >= 0 with sum 1 and |lambda_k - 1/S| <= epsilon, lambda makes ||sum_k lambda_k delta_k /
    ||delta_k|| || smallest (``min_norm``). epsilon = 0 gives the mean of the updates scaled to the length M. With
    epsilon = 1 the result d has <d, delta_k> >= 0 for all clients: for small steps along their updates nobody loses.
    The smaller epsilon, the closer to the mean, and the less any client can do alone.

    Weights: lambda.

    The authors step by a rate of their own times the combination of unit vectors. Here M takes its place, so that
    ``server.learning_rate`` = 1 means the length of a usual update. How long a client's update is changes only M, the
    median, and it does not matter which optimiser clients use.

    Where updates disagree, the shortest combination is short, and 0 where some of them cancel: that is a point at
    which no step suits everybody. A client that sends 0, or the opposite of the others, brings it about; an
    adversary stops the training with it, unless epsilon is small. Where more than half of the updates are 0, M and the
    result are. Numbers of examples are ignored.

    Args:
        epsilon: 0 to 1; how far from an equal weight any client's may be.

    Reference: Hu, Shaloudegi, Zhang & Yu, "Federated Learning Meets Multi-objective Optimization", IEEE Transactions on
    Network Science and Engineering 9(4), 2022 (arXiv 2006.11489).

    The directions are (1, 0) twice and (0, 1), the norms 1, 3 and 2: 2 (1/2, 1/2). The mean has (2/3, 1/3).

    >>> from fedskew import aggregate
    >>> aggregate("fedmgda", [[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]], epsilon=1.0)
    tensor([1., 1.])
    """
    deltas = updates.deltas
    inner = products(deltas)
    norms = root(inner.diagonal())
    weights = shortest_mixture(cosines(inner), epsilon).to(deltas.device)
    scale = middle(norms.sort().values)
    lengths = torch.where(norms > 0, weights * scale / norms, 0.0)
    return weighted_sum(lengths, deltas).to(deltas.dtype), AggregationTrace(client_weights=weights)
