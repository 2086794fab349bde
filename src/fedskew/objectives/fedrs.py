"""FedRS: restrict the softmax to the classes that a client has (Li & Zhan 2021)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.objectives.logits import scales
from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective


def fedrs(*, alpha: Annotated[float, Field(ge=0, le=1)] = 0.5) -> LocalObjective:
    """Train on logits of which those of classes that the client lacks are made smaller.

    These classes' weights in the last layer are pushed away less.

    Formula: alpha * z_c where the client has no image of class c, z_c elsewhere

    Args:
        alpha: from 0 to 1; 1 is FedAvg.

    Reference: Li & Zhan, "FedRS: Federated Learning with Restricted Softmax for Label Distribution Non-IID Data",
    KDD 2021.

    >>> import torch
    >>> fedrs(alpha=0.5).logits(torch.tensor([7, 0, 1]))[0]
    tensor([1.0000, 0.5000, 1.0000])
    """
    if alpha == 1:
        return none()

    def logits(counts: Tensor) -> Tensor:
        return scales(1 - (1 - alpha) * (counts == 0).double())

    return LocalObjective(logits=logits)
