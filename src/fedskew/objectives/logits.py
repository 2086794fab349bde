"""Scales and offsets of logits, from how many images of each class a client has."""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -1e4
"""The offset of a class that is left out of the softmax: finite, and its probability is exactly 0."""


def offsets(values: Tensor) -> Tensor:
    """The map z + v: float64 [C] -> float32 [2, C]; minus infinity leaves a class out of the softmax.

    >>> offsets(torch.tensor([0.0, -torch.inf], dtype=torch.float64)).tolist()
    [[1.0, 1.0], [0.0, -10000.0]]
    """
    return torch.stack([torch.ones_like(values), values.clamp(min=MASKED)]).float()


def scales(values: Tensor) -> Tensor:
    """The map v * z: float64 [C] -> float32 [2, C]."""
    return torch.stack([values, torch.zeros_like(values)]).float()
