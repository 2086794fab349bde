"""Shares to whole numbers at random, and the bounded redraws that a minimum shard size asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fedskew.errors import PartitionError
from fedskew.protocols import IndexArray, Rng


def unbiased_counts(shares: npt.NDArray[np.float64], total: int, rng: Rng) -> IndexArray:
    """Whole numbers that sum to ``total``, each within 1 of and on average equal to ``shares * total``.

    Systematic sampling: one uniform offset against the cumulated shares, the clients in random order so that
    neighbours in the list are not correlated.

    Args:
        shares: [K], non-negative, summing to 1.

    Returns:
        int64 [K].
    """
    order = rng.permutation(len(shares))
    edges = np.concatenate([[0.0], np.cumsum(shares[order])]) * total
    edges[-1] = total  # the cumulated sum may miss it by a rounding error
    counts = np.diff(np.minimum(np.floor(edges + rng.uniform()), total).astype(np.int64))
    result = np.empty(len(shares), dtype=np.int64)
    result[order] = counts
    return result


def redraw(
    draw: Callable[[], list[IndexArray]], min_size: int, max_draws: int, description: str
) -> list[IndexArray]:
    """Draws a split until every shard holds ``min_size`` images.

    Args:
        description: the split in words, with alpha and the number of clients, for the error.

    Raises:
        PartitionError: ``max_draws`` draws were not enough; names the best smallest shard.
    """
    best = -1
    for _ in range(max_draws):
        shards = draw()
        smallest = min(len(shard) for shard in shards)
        if smallest >= min_size:
            return shards
        best = max(best, smallest)
    raise PartitionError(
        f"{description}: no split with min_size = {min_size} in {max_draws} draws; "
        f"the smallest shard had at most {best} images",
        "lower min_size or the number of clients, or raise alpha",
    )
