"""Means: FedAvg (weighted by n_k) and the unweighted one."""

from __future__ import annotations

from torch import Tensor

from fedskew.portable import row_mean, weighted_sum
from fedskew.protocols import ClientUpdates, ServerView


def fedavg(updates: ClientUpdates, view: ServerView) -> Tensor:
    """sum_k n_k delta_k / sum_k n_k, [P] (McMahan et al. 2016; paper, section II-A)."""
    sizes = updates.num_examples
    return (weighted_sum(sizes, updates.deltas) / sizes.sum()).to(updates.deltas.dtype)


def mean(updates: ClientUpdates, view: ServerView) -> Tensor:
    """sum_k delta_k / |S|, [P]."""
    return row_mean(updates.deltas)
