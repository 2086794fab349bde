"""FedExP: a server learning rate that is higher the less the clients' updates agree (ICLR 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedskew.aggregation.matrix import row_norms
from fedskew.portable import mean, norm, weighted_sum
from fedskew.protocols import ClientUpdates


def fedexp(updates: ClientUpdates, lr: float, *, eps: Annotated[float, Field(gt=0)] = 1e-3) -> float:
    """A longer step where clients' updates disagree, so that they shorten each other in the mean.

    Formula: lr max(1, Q / (2 (||m||^2 + eps Q))) with m the mean of the updates and Q that of their ||delta_i||^2

    Where clients agree, ||m||^2 = Q and the rate is lr; S orthogonal updates of equal length give lr S / 2. It looks at
    the updates as the clients sent them, before any transform, and at their unweighted mean whatever the aggregator
    is. A round in which all updates are 0 has the rate lr.

    The paper adds eps to ||m||^2, its code S eps; both are in the unit of a squared update, so the authors' values
    (0.001, for EMNIST 0.1, shrinking with the square of the clients' learning rate) belong to their problems. Here
    eps counts in units of Q, so that nothing depends on the length of the updates and no rate is above lr / (2 eps).
    The authors evaluate the mean of the last two models, a run here the last one.

    It is no defence: one long update raises the rate for all, up to S / 2, and two that cancel each other, up to
    1 / (2 eps).

    Args:
        eps: > 0.

    Reference: Jhunjhunwala, Wang & Joshi, "FedExP: Speeding Up Federated Averaging via Extrapolation", ICLR 2023
    (arXiv 2301.09604).

    Q = (9 + 0 + 0 + 0 + 16) / 5 = 5, m = (0.6, 0.8): 5 / (2 (1 + 0.25 * 5)) = 5 / 4.5.

    >>> rows = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    >>> updates = ClientUpdates(rows, torch.ones(5, dtype=torch.int64), torch.arange(5))
    >>> round(fedexp(updates, 1.0, eps=0.25), 4)
    1.1111
    """
    deltas = updates.deltas
    squares = float(mean(row_norms(deltas).square()))
    if not squares:
        return lr
    length = float(norm(weighted_sum(torch.ones(len(deltas)), deltas) / len(deltas)))
    return lr * max(1.0, squares / (2 * (length**2 + eps * squares)))
