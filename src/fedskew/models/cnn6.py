"""The paper's "6-layer convolutional neural network": 3 convolutional and 3 fully connected layers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from fedskew.errors import ConfigError
from fedskew.models.convolution import Norm, convolution
from fedskew.protocols import DatasetInfo


def cnn6(
    info: DatasetInfo,
    *,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    norm: Norm = "none",
    groups: Annotated[int, Field(ge=1)] = 2,
) -> nn.Module:
    """Three convolutions and three linear layers; 537,610 parameters at 3x32x32 and C = 10.

    Formula: conv 64, 128, 256 @3x3 without padding, each with ReLU and max-pooling; fc 128, 256, C, dropout before each

    Args:
        norm, groups: of each convolution (``models.convolution``); the paper's model has none.

    Raises:
        ConfigError: images smaller than 22x22, of which nothing is left after the third pooling; ``groups`` does not
            divide 64.

    Reference: Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated
    Learning", 2021 (the authors' code).
    """
    channels, height, width = info.image_shape

    def behind(size: int) -> int:
        for _ in range(3):
            size = (size - 2) // 2
        return size

    rows, columns = behind(height), behind(width)
    if rows < 1 or columns < 1:
        raise ConfigError(
            f"model 'cnn6' needs images of at least 22x22, {info.name} has {height}x{width}",
            "use model 'mlp' or 'small-cnn'",
        )
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 64), (64, 128), (128, 256)):
        layers += [*convolution("cnn6", inputs, outputs, 3, norm, groups), nn.MaxPool2d(2)]
    layers += [
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(256 * rows * columns, 128),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(128, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(256, info.num_classes),
    ]
    return nn.Sequential(*layers)
