"""Uniformly at random, equal sizes: the homogeneous case that every other split is compared with."""

from __future__ import annotations

import numpy as np

from fedskew.protocols import IndexArray, LabelArray, Rng


def iid(labels: LabelArray, num_clients: int, rng: Rng) -> list[IndexArray]:
    """Equal shares of a random permutation; sizes differ by at most one."""
    return [np.sort(part) for part in np.array_split(rng.permutation(len(labels)), num_clients)]
