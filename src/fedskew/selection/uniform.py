"""Uniform selection: the cohort of FedAvg."""

from __future__ import annotations

import numpy as np

from fedskew.protocols import IndexArray, Rng, SelectionView


def uniform(view: SelectionView, rng: Rng) -> IndexArray:
    """``view.size`` clients uniformly at random, without replacement.

    Formula: each set of S of the K clients is equally likely

    Reference: McMahan, Moore, Ramage, Hampson & Agüera y Arcas, "Communication-Efficient Learning of Deep Networks
    from Decentralized Data", AISTATS 2017, Algorithm 1.
    """
    if view.size == view.num_clients:
        return np.arange(view.num_clients)
    return rng.choice(view.num_clients, view.size, replace=False)
