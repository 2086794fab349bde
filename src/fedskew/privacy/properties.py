"""Properties of images that have nothing to do with their labels: what an image looks like that has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from fedskew.errors import ConfigError


def inverted(images: Tensor) -> Tensor:
    """Each grey value v becomes 255 - v.

    Args:
        images: uint8 [n, channels, height, width].

    >>> inverted(torch.tensor([[[[0, 5], [255, 100]]]], dtype=torch.uint8)).tolist()
    [[[[255, 250], [0, 155]]]]
    """
    return 255 - images


def rotated(images: Tensor) -> Tensor:
    """Each image is turned left by 90 degrees.

    Args:
        images: uint8 [n, channels, height, width], as high as wide.

    Raises:
        ConfigError: they are not.

    >>> rotated(torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)).tolist()
    [[[[2, 4], [1, 3]]]]
    """
    height, width = images.shape[-2:]
    if height != width:
        raise ConfigError(
            f"privacy.property.name = 'rotated' needs images that are as high as wide; these are {height} x {width}",
            "take 'inverted'",
            "privacy.property.name",
        )
    return torch.rot90(images, 1, dims=(-2, -1))


PROPERTIES: Final[dict[str, Callable[[Tensor], Tensor]]] = {"inverted": inverted, "rotated": rotated}
"""By the name in ``privacy.property``."""
