"""Server momentum (FedAvgM)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.protocols import ServerStep, State


def momentum(*, beta: Annotated[float, Field(ge=0, lt=1)]) -> ServerStep:
    """Server momentum, [P].

    Formula: v_t = beta * v_{t-1} + delta_t, with v_0 = 0

    Args:
        beta: the momentum; 0 is the plain step, bit for bit. Hsu et al. use 0.9 among others.

    Reference: Hsu, Qi & Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019 (arXiv 1909.06335), section 4.

    >>> import torch
    >>> step = momentum(beta=0.5)
    >>> first, state = step.apply(torch.tensor([1.0, 0.0]), step.init())
    >>> step.apply(torch.tensor([1.0, 4.0]), state)[0]
    tensor([1.5000, 4.0000])
    """

    def apply(delta: Tensor, state: State) -> tuple[Tensor, State]:
        if not beta:
            return delta, state
        velocity = beta * state["velocity"] + delta if "velocity" in state else delta
        return velocity, {"velocity": velocity}

    return ServerStep(apply)
