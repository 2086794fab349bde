"""Power of choice: of some candidates, those with the highest loss of the global model."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.errors import ConfigError
from fedskew.protocols import IndexArray, Rng, SelectionView


def power_of_choice(view: SelectionView, rng: Rng, *, candidates: Annotated[int, Field(ge=1)]) -> IndexArray:
    """The ``view.size`` candidates on whose data the global model's loss is highest; ascending ids.

    Formula: the S clients with the largest F_k(w_t) among d = candidates, drawn with probability n_k / sum_j n_j

    ``candidates`` distinct clients are drawn, with probability proportional to n_k; never clients without data.
    Of equal losses, the client with the lower id comes first. The losses are what clients report, true or not.

    Args:
        candidates: the paper's d, from a cohort's size to K; K takes the highest losses of all. Where fewer clients
            have data, all of these are candidates.

    Raises:
        ConfigError: ``candidates`` is below the size of a cohort or above the number of clients.

    Reference: Cho, Wang & Joshi, "Towards Understanding Biased Client Selection in Federated Learning", AISTATS 2022
    (arXiv 2010.01243, 2020), section 4.

    >>> losses = np.array([0.1, 0.9, 0.5, 0.7])
    >>> view = SelectionView(1, 4, 2, np.array([5, 5, 5, 5]), losses.__getitem__)
    >>> power_of_choice(view, np.random.default_rng(0), candidates=4).tolist()
    [1, 3]
    """
    if not view.size <= candidates <= view.num_clients:
        raise ConfigError(
            f"selection 'power-of-choice': candidates = {candidates} must be at least the {view.size} clients of a "
            f"round and at most all {view.num_clients} clients"
        )
    held = np.flatnonzero(view.num_examples)
    if candidates < len(held):
        shares = view.num_examples / view.num_examples.sum()
        held = np.sort(rng.choice(view.num_clients, candidates, replace=False, p=shares))
    losses = np.asarray(view.losses(held.tolist()), dtype=np.float64)
    highest = np.argsort(-losses, kind="stable")[: view.size]
    return np.sort(held[highest])
