"""Server learning-rate rules: (updates, lr) -> a scalar, or one rate per parameter."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.protocols import ClientUpdates


def constant(updates: ClientUpdates, lr: float) -> float:
    """The configured rate, the paper's eta.

    Formula: lr
    """
    return lr


def rlr(
    updates: ClientUpdates, lr: float, *, theta: Annotated[float, Field(ge=0, allow_inf_nan=False)]
) -> Tensor:
    """The robust learning rate, [P]: negative where too few updates have the same sign.

    Formula: +lr where |sum_k sgn(delta_k)| >= theta, -lr elsewhere

    theta = 0 is the constant rate. It works with any aggregator and looks at the updates as the clients sent them,
    before any transform.

    Reference: Ozdayi, Kantarcioglu & Gel, "Defending against Backdoors in Federated Learning with Robust Learning
    Rate", AAAI 2021; the paper, section III-C.
    """
    agreement = torch.zeros_like(updates.deltas[0])
    for delta in updates.deltas:  # row by row: no second [S, P] matrix
        agreement += delta.sign()
    return torch.where(agreement.abs() >= theta, lr, -lr)
