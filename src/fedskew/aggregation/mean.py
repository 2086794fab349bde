"""Means: FedAvg (weighted by n_k) and the unweighted one."""

from __future__ import annotations

from torch import Tensor

from fedskew.protocols import ClientUpdates, ServerView


def fedavg(updates: ClientUpdates, view: ServerView) -> Tensor:
    """sum_k n_k delta_k / sum_k n_k, [P] (McMahan et al. 2016; paper, section II-A)."""
    weights = updates.num_examples.to(updates.deltas.dtype)
    return (weights / weights.sum()) @ updates.deltas


def mean(updates: ClientUpdates, view: ServerView) -> Tensor:
    """sum_k delta_k / |S|, [P]."""
    return updates.deltas.mean(dim=0)
