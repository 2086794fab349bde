"""FedLC: calibrate the logits by how many images of a class a client has (Zhang et al. 2022)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.objectives.logits import offsets
from fedskew.objectives.none import none
from fedskew.portable import root
from fedskew.protocols import LocalObjective


def fedlc(*, tau: Annotated[float, Field(ge=0)] = 1.0) -> LocalObjective:
    """Train on calibrated logits, so that classes of which a client has few images get a larger margin.

    Formula: z_c - tau * n_c^(-1/4) with n_c the images of class c that the client trains on

    A class that it lacks is left out of the softmax, which is
    the formula's limit: its own weights in the last layer get no gradient.

    Args:
        tau: how much; 0 is FedAvg.

    Reference: Zhang et al., "Federated Learning with Label Distribution Skew via Logits Calibration", ICML 2022.

    With 16 and 81 images the offsets are -1/2 and -1/3.

    >>> import torch
    >>> fedlc(tau=1.0).logits(torch.tensor([16, 81]))[1]
    tensor([-0.5000, -0.3333])
    """
    if tau == 0:
        return none()

    def logits(counts: Tensor) -> Tensor:
        return offsets(-tau / root(root(counts.double())))  # -infinity for a class without images

    return LocalObjective(logits=logits)
