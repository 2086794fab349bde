"""Means: FedAvg (weighted by n_k) and the unweighted one."""

from __future__ import annotations

from torch import Tensor

from fedskew.portable import row_mean, weighted_sum
from fedskew.protocols import ClientUpdates, ServerView


def fedavg(updates: ClientUpdates, view: ServerView) -> Tensor:
    """The mean of the updates, weighted by the number of examples n_k, [P].

    Formula: sum_k n_k delta_k / sum_k n_k

    Reference: McMahan, Moore, Ramage, Hampson & Agüera y Arcas, "Communication-Efficient Learning of Deep Networks
    from Decentralized Data", AISTATS 2017, Algorithm 1.
    """
    sizes = updates.num_examples
    return (weighted_sum(sizes, updates.deltas) / sizes.sum()).to(updates.deltas.dtype)


def mean(updates: ClientUpdates, view: ServerView) -> Tensor:
    """The mean of the updates, [P].

    Formula: sum_k delta_k / S
    """
    return row_mean(updates.deltas)
