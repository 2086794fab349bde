"""The shortest convex combination of vectors whose weights stay near equal ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

GAP = 1e-14
"""For vectors of length 1. The combination is then within sqrt(2 GAP) of the shortest: the precision of float32."""
ROUNDING = 1e-12
"""A weight that is as near to a bound is at it."""
STEPS = 20_000
"""At most; the weights then reached are still within the bounds."""


def shortest_mixture(products: Tensor, epsilon: float) -> Tensor:
    """argmin ||sum_k lambda_k v_k||^2 over lambda_k >= 0 with sum 1 and |lambda_k - 1/S| <= epsilon, float64 [S].

    From equal weights, weight moves away from the vector along which the combination is longest, in each step to the
    one and as much as shortens it most, until no move between two vectors has a slope above ``GAP``. Where several
    mixtures give the same combination, equal vectors have equal weights. Single operations and sums in a fixed order:
    the bits are the same on every processor.

    Args:
        products: float64 [S, S], <v_i, v_j>; of vectors of length 1, or 0.
        epsilon: 0 gives equal weights, 1 the shortest vector of the convex hull.

    The vectors (1, 0) and (-0.6, 0.8): both weights are 1/2 by symmetry. With (0, 0) all weight goes there.

    >>> shortest_mixture(torch.tensor([[1.0, -0.6], [-0.6, 1.0]]), 1.0).tolist()
    [0.5, 0.5]
    >>> shortest_mixture(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 0.25).tolist()
    [0.25, 0.75]
    """
    inner = products.cpu().double().numpy()
    lengths, equal = inner.diagonal(), 1 / len(inner)
    lowest, highest = max(0.0, equal - epsilon), min(1.0, equal + epsilon)
    weights = np.full(len(inner), equal)
    for _ in range(STEPS):
        slopes = (inner * weights).sum(axis=1)  # <v_k, combination>
        source = int(np.where(weights > lowest + ROUNDING, slopes, -np.inf).argmax())
        gaps = np.where(weights < highest - ROUNDING, np.maximum(0, slopes[source] - slopes), 0.0)
        if not gaps.max() > GAP:
            break
        # By moving t to v_k, the squared length changes by t (apart t - 2 gap), which is least at t = gap / apart.
        apart = np.maximum(lengths + lengths[source] - 2 * inner[source], ROUNDING)
        moved = np.minimum(gaps / apart, np.minimum(highest - weights, weights[source] - lowest))
        to = int((moved * (apart * moved - 2 * gaps)).argmin())
        weights[to] += moved[to]
        weights[source] -= moved[to]
    # The first vector equal to each, and the mean weight of all that have the same one.
    first = (lengths + lengths[:, None] - 2 * inner <= GAP).argmax(axis=1)
    return torch.from_numpy((np.bincount(first, weights) / np.maximum(1, np.bincount(first)))[first])
