"""Projected local training: weights stay in a ball around the start weights (PGD)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.portable import norm
from fedskew.protocols import LocalObjective, LocalView


def ball(radius: float) -> LocalObjective:
    """After each step, the nearest point w of the ball ||w - start||_2 <= radius.

    start + (w - start) * min(1, radius / ||w - start||); weights inside the ball keep their bits.

    Args:
        radius: > 0, in the unit of the weights.

    Reference: Wang et al., "Attack of the Tails: Yes, You Really Can Backdoor Federated Learning", NeurIPS 2020,
    section 3 (projected gradient descent).
    """

    def project(weights: Tensor, view: LocalView) -> None:
        moved = weights - view.start
        length = norm(moved.double())[..., None]
        scale = (radius / length).to(moved.dtype)
        torch.where(length > radius, view.start + moved * scale, weights, out=weights)

    return LocalObjective(project=project)
