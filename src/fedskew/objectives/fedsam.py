"""FedSAM: clients minimise the loss at the worst point nearby (Qu et al. 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.objectives.none import none
from fedskew.portable import norm
from fedskew.protocols import LocalObjective, LocalView


def fedsam(*, rho: Annotated[float, Field(ge=0)] = 0.05) -> LocalObjective:
    """Follow the gradient of the same images at w + rho * g / ||g||, with g the gradient at w: a flat minimum.

    Formula: gradient <- grad loss(w + rho * g / ||g||) on the same images

    Each step costs two passes. Where g is 0 it is the gradient at w.

    Args:
        rho: how far away, an L2 norm in the space of all weights, so that it belongs to a model; 0 is FedAvg.

    Reference: Qu et al., "Generalized Federated Learning via Sharpness Aware Minimization", ICML 2022.

    (3, 4) has norm 5, so that the gradient is taken at (1, 1) + 0.5 * (0.6, 0.8).

    >>> view = LocalView(torch.tensor([1.0, 1.0]), torch.zeros(2), {}, {}, lr=0.1)
    >>> fedsam(rho=0.5).look(torch.tensor([3.0, 4.0]), view)
    tensor([1.3000, 1.4000])
    """
    if rho == 0:
        return none()

    def look(gradient: Tensor, view: LocalView) -> Tensor:
        lengths = norm(gradient.double())[..., None]
        scale = torch.where(lengths > 0, rho / lengths, 0.0).to(gradient.dtype)
        return view.weights + scale * gradient

    return LocalObjective(look=look)
