"""FedProx: stay near the weights that the round started from (Li et al. 2020)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective, LocalView


def fedprox(*, mu: Annotated[float, Field(ge=0)], decoupled: bool = False) -> LocalObjective:
    """A proximal term holds the local weights near the start, so that clients drift less.

    Formula: minimise loss(w) + mu/2 * ||w - w_start||^2;
    coupled: gradient <- gradient + mu * (w - w_start) before the optimiser's step;
    decoupled: w <- w - lr * mu * (w - w_start) after it

    With plain SGD the two differ only in that the decoupled pull is that of the weights after the step. Adam divides
    every entry of the gradient by a mean of its size, so that the coupled pull has another strength in every entry and
    mu has no unit of its own; the decoupled one is what mu says with any optimiser (as AdamW's weight decay is). With
    lr * mu > 1 it goes past the start weights, with lr * mu >= 2 no longer towards them.

    Args:
        mu: weight of the proximal term; 0 is FedAvg.
        decoupled: whether the pull leaves the gradient, and so the optimiser's moments, alone.

    Reference: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, equation 2. The decoupled form
    is that of Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, for another term.

    >>> import torch
    >>> gradient = torch.tensor([1.0, 1.0])
    >>> view = LocalView(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0]), {}, {}, lr=0.1)
    >>> fedprox(mu=0.5).add(gradient, view)
    >>> gradient
    tensor([2., 0.])

    The decoupled pull takes lr * mu = 1/2 of the way back:

    >>> weights = torch.tensor([3.0, 0.0])
    >>> view = LocalView(weights, torch.tensor([1.0, 2.0]), {}, {}, lr=0.25)
    >>> fedprox(mu=2.0, decoupled=True).project(weights, view)
    >>> weights
    tensor([2., 1.])
    """
    if mu == 0:
        return none()

    def add(gradient: Tensor, view: LocalView) -> None:
        # Not add_(..., alpha=mu), which is fused into one rounding on some processors.
        gradient.add_((view.weights - view.start).mul_(mu))

    def project(weights: Tensor, view: LocalView) -> None:
        weights.sub_((weights - view.start).mul_(view.lr * mu))

    return LocalObjective(project=project) if decoupled else LocalObjective(add=add)
