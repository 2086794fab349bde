"""Coordinate-wise median (Yin et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from fedskew.aggregation.columns import by_parameter, middle
from fedskew.protocols import ClientUpdates, ServerView


def median(updates: ClientUpdates, view: ServerView) -> Tensor:
    """The median of each parameter over the clients, [P]; of an even number of clients the mean of the middle two.

    Formula: for each parameter j median_i delta_ij

    Reference: Yin, Chen, Ramchandran & Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
    Rates", ICML 2018.
    """
    return by_parameter(middle, updates.deltas)
