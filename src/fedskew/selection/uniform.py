"""Uniform selection: the cohort of FedAvg."""

from __future__ import annotations

import numpy as np

from fedskew.protocols import IndexArray, Rng, SelectionView


def uniform(view: SelectionView, rng: Rng) -> IndexArray:
    """``view.size`` clients uniformly at random, without replacement (McMahan et al. 2017)."""
    if view.size == view.num_clients:
        return np.arange(view.num_clients)
    return rng.choice(view.num_clients, view.size, replace=False)
