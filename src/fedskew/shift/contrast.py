"""Covariate shift: each client's images have a contrast of their own."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from fedskew.protocols import ClientShift, Rng, ShiftView
from fedskew.shift.pixels import pixels


def contrast(view: ShiftView, rng: Rng, *, strength: Annotated[float, Field(ge=0, le=1)]) -> ClientShift:
    """All images of a client have their contrast changed by one factor.

    Formula: c_k ~ U(1 - strength, 1 + strength);
    x' = m + c_k (x - m), m the mean of the image's pixels, cut to 0 .. 255

    Args:
        strength: of the change, 0 to 1.

    Reference: Kairouz et al., "Advances and Open Problems in Federated Learning", 2021, section 3.1 (feature
    distribution skew); contrast as in Hendrycks & Dietterich, "Benchmarking Neural Network Robustness", ICLR 2019.
    """
    factor = 1 + strength * float(rng.uniform(-1, 1))
    return ClientShift(images=lambda images, draws: contrasted(images, factor), values={"factor": factor})


def contrasted(images: Tensor, factor: float) -> Tensor:
    """Images with their distance to their own mean times a factor.

    Args:
        images: uint8 [n, channels, height, width].

    >>> import torch
    >>> contrasted(torch.tensor([[[[10, 30]]], [[[100, 250]]]], dtype=torch.uint8), 0.5).tolist()
    [[[[15, 25]]], [[[138, 213]]]]
    """
    values = images.numpy().reshape(len(images), -1)
    # A sum of whole numbers is exact, in whatever order.
    means = values.sum(axis=1, dtype=np.int64)[:, np.newaxis] / values.shape[1]
    return pixels((means + factor * (values - means)).reshape(images.shape))
