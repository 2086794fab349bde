"""A small convolutional network, for images from 4x4 on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from fedskew.errors import ConfigError
from fedskew.models.convolution import Norm, convolution
from fedskew.protocols import DatasetInfo


def small_cnn(
    info: DatasetInfo,
    *,
    width: Annotated[int, Field(ge=1)] = 8,
    norm: Norm = "none",
    groups: Annotated[int, Field(ge=1)] = 2,
) -> nn.Module:
    """Two convolutions, each with ReLU and max-pooling, and a linear layer.

    Formula: conv width@3x3 (padding 1), pool, conv 2 width@3x3 (padding 1), pool, fc C

    Args:
        norm, groups: of each convolution (``models.convolution``).

    Raises:
        ConfigError: images smaller than 4x4; ``groups`` does not divide ``width``.
    """
    channels, height, columns = info.image_shape
    if height < 4 or columns < 4:
        raise ConfigError(
            f"model 'small-cnn' needs images of at least 4x4, {info.name} has {height}x{columns}",
            "use model 'mlp'",
        )
    return nn.Sequential(
        *convolution("small-cnn", channels, width, 3, norm, groups, padding=1),
        nn.MaxPool2d(2),
        *convolution("small-cnn", width, 2 * width, 3, norm, groups, padding=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * (height // 4) * (columns // 4), info.num_classes),
    )
