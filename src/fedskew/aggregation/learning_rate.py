"""Server learning-rate rules: (updates, lr) -> a scalar, or one rate per parameter."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.protocols import ClientUpdates


def constant(updates: ClientUpdates, lr: float) -> float:
    """The configured rate, the paper's eta."""
    return lr


def rlr(updates: ClientUpdates, lr: float, *, theta: Annotated[float, Field(ge=0)]) -> Tensor:
    """The robust learning rate (Ozdayi et al. 2021; paper, section III-C), [P].

    +lr where |sum_k sgn(delta_k)| >= theta, -lr elsewhere. theta = 0 is the constant rate. It works with any
    aggregator and looks at the updates as the clients sent them, before any transform.
    """
    agreement = torch.zeros_like(updates.deltas[0])
    for delta in updates.deltas:  # row by row: no second [S, P] matrix
        agreement += delta.sign()
    return torch.where(agreement.abs() >= theta, lr, -lr)
