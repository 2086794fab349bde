"""Minimum-diameter averaging: the mean of the updates that lie closest together."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.matrix import squared_distances
from fedskew.aggregation.neighbours import mean_of
from fedskew.aggregation.subsets import SUBSETS
from fedskew.errors import ConfigError
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView


def mda(
    updates: ClientUpdates, view: ServerView, *, f: Annotated[int, Field(ge=0)]
) -> tuple[Tensor, AggregationTrace]:
    """The mean of the S - f updates whose diameter, the largest distance between two of them, is smallest, [P].

    Formula: C = argmin_C max_{i, j in C} ||delta_i - delta_j|| over the sets C of S - f updates;
    sum_{i in C} delta_i / (S - f)

    Weights: 1 / (S - f) for the updates taken and 0 for the others

    All choices of S - f updates are looked at. There are often several with the same diameter, since two updates alone
    decide it; of these, the one with the smallest second largest distance is taken, and so on. (Where only the diameter
    is looked at, the result depends on the order of the clients.) The numbers of examples are ignored.

    Args:
        f: how many of a round's updates may be malicious; 0 is the mean.

    Raises:
        ConfigError: fewer than 2f + 1 updates, or more than 200,000 ways to leave out f of them.

    Reference: El-Mhamdi, Guerraoui, Guirguis, Hoang & Rouault, "Genuinely Distributed Byzantine Machine Learning",
    PODC 2020.

    Without the last update the diameter is 3, without the first it is 6, without one of the others 7.

    >>> from fedskew import aggregate
    >>> aggregate("mda", [[0.0], [1.0], [3.0], [7.0]], f=1)
    tensor([1.3333])
    """
    deltas = updates.deltas
    count = len(deltas)
    check_enough("aggregator 'mda'", count, 2 * f + 1, "2f + 1", f=f)
    ways = math.comb(count, f)
    if ways > SUBSETS:
        raise ConfigError(
            f"aggregator 'mda' with f = {f} would look at {ways:,} subsets of {count} updates; it looks at no more "
            f"than {SUBSETS:,}",
            "lower f, or let fewer clients take part in each round",
        )
    out = _farthest_apart(squared_distances(deltas).cpu().numpy(), f)
    kept = torch.tensor([row for row in range(count) if row not in out], device=deltas.device)
    return mean_of(deltas, kept)


def _farthest_apart(distances: NDArray[np.float64], f: int) -> frozenset[int]:
    """The f rows without which the largest distance [n, n] between two rows is smallest."""
    count = len(distances)
    left_out = _subsets(count, f)
    first, second = np.triu_indices(count, 1)
    apart = distances[first, second]
    descending = np.argsort(-apart, kind="stable").tolist()
    # From the largest distance on, only the subsets that leave out one of each two rows so far apart remain, unless
    # there are none. The last subset is the first in the order of the rows that it keeps.
    for _, equally_far in itertools.groupby(descending, key=apart.__getitem__):
        remaining = left_out
        for pair in equally_far:
            one = (remaining == first[pair]) | (remaining == second[pair])
            remaining = remaining[one.any(axis=1)]
        if len(remaining):
            left_out = remaining
        if len(left_out) == 1:
            break
    return frozenset(left_out[-1].tolist())


@functools.lru_cache(maxsize=4)
def _subsets(count: int, f: int) -> NDArray[np.int32]:
    """Every choice of f of ``count`` rows in lexicographic order, [C(count, f), f]."""
    chosen = list(itertools.combinations(range(count), f))
    return np.array(chosen, dtype=np.int32).reshape(len(chosen), f)
