"""LeNet-5 (LeCun et al. 1998) as the authors' code has it: ReLU and max-pooling."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from fedskew.errors import ConfigError
from fedskew.models.convolution import Norm, convolution
from fedskew.protocols import DatasetInfo


def lenet(info: DatasetInfo, *, norm: Norm = "none", groups: Annotated[int, Field(ge=1)] = 2) -> nn.Module:
    """LeNet-5 with ReLU and max-pooling; 61,706 parameters at 1x28x28 and C = 10.

    Formula: conv 6@5x5 (padding 2), pool, conv 16@5x5, pool, fc 120, 84, C

    Args:
        norm, groups: of each convolution (``models.convolution``); the paper's model has none.

    Raises:
        ConfigError: images smaller than 12x12, of which nothing is left after the second pooling; ``groups`` is
            neither 1 nor 2.

    Reference: LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings
    of the IEEE, 1998 (LeNet-5), with the ReLU and the max-pooling of the paper's authors' code.
    """
    channels, height, width = info.image_shape
    rows, columns = (height // 2 - 4) // 2, (width // 2 - 4) // 2
    if rows < 1 or columns < 1:
        raise ConfigError(
            f"model 'lenet' needs images of at least 12x12, {info.name} has {height}x{width}",
            "use model 'mlp' or 'small-cnn'",
        )
    return nn.Sequential(
        *convolution("lenet", channels, 6, 5, norm, groups, padding=2),
        nn.MaxPool2d(2),
        *convolution("lenet", 6, 16, 5, norm, groups),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, info.num_classes),
    )
