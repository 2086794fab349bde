"""Covariate shift: each client's images are turned by an angle of its own."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.protocols import ClientShift, Rng, ShiftView
from fedskew.shift.pixels import pixels


def rotation(view: ShiftView, rng: Rng, *, degrees: Annotated[float, Field(ge=0, le=180)]) -> ClientShift:
    """All images of a client are turned about their middle by one angle.

    Formula: a_k ~ U(-degrees, degrees);
    x'(p) = x(R(-a_k) p), between pixels bilinear, black outside

    Args:
        degrees: the largest angle; to the left if positive.

    Raises:
        ConfigError: the data has no height or no width.

    Reference: Ghosh et al., "An Efficient Framework for Clustered Federated Learning", NeurIPS 2020 (rotated MNIST,
    there with four angles).
    """
    height, width = view.info.image_shape[1:]
    if min(height, width) < 2:
        raise ConfigError(
            f"clients.shift = 'rotation' turns images, and those of {view.info.name!r} are {height} x {width}"
        )
    angle = degrees * float(rng.uniform(-1, 1))
    return ClientShift(images=lambda images, draws: rotated(images, angle), values={"degrees": angle})


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Images that are turned to the left about their middle.

    Args:
        images: uint8 [n, channels, height, width].

    >>> import torch
    >>> rotated(torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8), 90.0).tolist()
    [[[[2, 4], [1, 3]]]]
    """
    height, width = images.shape[-2:]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    down, right = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    y, x = down - (height - 1) / 2, right - (width - 1) / 2
    # From where each pixel comes: turned back, to the right. Rows count downwards.
    across, along = cosine * x - sine * y + (width - 1) / 2, sine * x + cosine * y + (height - 1) / 2
    flat = images.numpy().reshape(-1, height * width).astype(np.float64)
    total = np.zeros_like(flat)
    left, top = np.floor(across), np.floor(along)
    for column in (left, left + 1):
        for row in (top, top + 1):
            weight = (1 - np.abs(across - column)) * (1 - np.abs(along - row))
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = np.where(inside, row * width + column, 0).astype(np.int64)
            total += flat[:, place.ravel()] * np.where(inside, weight, 0.0).ravel()
    return pixels(total.reshape(images.shape))
