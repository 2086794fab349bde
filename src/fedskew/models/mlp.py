"""A fully connected network, for small images and for tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

from fedskew.protocols import DatasetInfo


def mlp(info: DatasetInfo, *, hidden: Sequence[Annotated[int, Field(ge=1)]] = (64,)) -> nn.Module:
    """Linear layers of the given widths with ReLU between them; no hidden layer is logistic regression.

    Formula: fc hidden, C
    """
    channels, height, width = info.image_shape
    widths = [channels * height * width, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], info.num_classes))
