"""From real numbers to pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def pixels(values: npt.NDArray[np.float64]) -> Tensor:
    """The nearest grey values of 0 .. 255, halves up, uint8 of the same shape."""
    return torch.from_numpy(np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8))
