"""Uniformly at random, equal sizes: the homogeneous case that every other split is compared with."""

from __future__ import annotations

import numpy as np

from fedskew.partition.owners import even_sizes, shards_of
from fedskew.protocols import IndexArray, LabelArray, Rng


def iid(labels: LabelArray, num_clients: int, rng: Rng) -> list[IndexArray]:
    """Equal shares of a random permutation; sizes differ by at most one.

    Formula: n_k = floor(n / K) or ceil(n / K), of all n images, without replacement
    """
    owners = np.empty(len(labels), dtype=np.int64)
    owners[rng.permutation(len(labels))] = np.repeat(
        np.arange(num_clients), even_sizes(len(labels), num_clients)
    )
    return shards_of(owners, num_clients)
