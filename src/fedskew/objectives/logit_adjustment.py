"""Logit adjustment by a client's own label mix (Menon et al. 2021)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.objectives.logits import offsets
from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective


def logit_adjustment(*, tau: Annotated[float, Field(ge=0)] = 1.0) -> LocalObjective:
    """Train on logits to which the log of the client's label mix is added.

    Formula: z_c + tau * log(n_c / n) with n_c of the client's n images in class c

    What is frequent in the client's data need not be learnt as likely. With tau = 1 this is the balanced softmax. A
    class that the client lacks is left out of it, which is the formula's limit.

    Args:
        tau: how much; 0 is FedAvg.

    Reference: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021; Ren et al., "Balanced
    Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020 (tau = 1). Here with the mix of each client.

    log(1/4) is -1.3863, log(3/4) is -0.2877.

    >>> import torch
    >>> logit_adjustment(tau=1.0).logits(torch.tensor([1, 3]))[1]
    tensor([-1.3863, -0.2877])
    """
    if tau == 0:
        return none()

    def logits(counts: Tensor) -> Tensor:
        return offsets(tau * (counts.double() / counts.sum()).log())

    return LocalObjective(logits=logits)
