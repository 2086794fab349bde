"""FedProx: stay near the weights that the round started from (Li et al. 2020)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective, LocalView


def fedprox(*, mu: Annotated[float, Field(ge=0)]) -> LocalObjective:
    """A proximal term holds the local weights near the start, so that clients drift less.

    Formula: minimise loss(w) + mu/2 * ||w - w_start||^2;
    gradient <- gradient + mu * (w - w_start)

    Args:
        mu: weight of the proximal term; 0 is FedAvg.

    Reference: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, equation 2.

    >>> import torch
    >>> gradient = torch.tensor([1.0, 1.0])
    >>> view = LocalView(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0]), {}, {}, lr=0.1)
    >>> fedprox(mu=0.5).add(gradient, view)
    >>> gradient
    tensor([2., 0.])
    """
    if mu == 0:
        return none()

    def add(gradient: Tensor, view: LocalView) -> None:
        # Not add_(..., alpha=mu), which is fused into one rounding on some processors.
        gradient.add_((view.weights - view.start).mul_(mu))

    return LocalObjective(add=add)
