"""A convolution, the normalisation that may follow it, and ReLU: what the convolutional models are made of."""

from __future__ import annotations

from typing import Literal

from torch import nn

from fedskew.errors import ConfigError

Norm = Literal["none", "batch", "group"]
"""An option ``norm``: how what a convolution gives is normalised."""


def convolution(
    model: str, inputs: int, outputs: int, kernel: int, norm: Norm, groups: int, padding: int = 0
) -> list[nn.Module]:
    """Convolution, normalisation if there is one, ReLU; both with a learnt scale and shift per channel.

    ``"batch"`` normalises each channel over the images of a batch, and by running averages in evaluation; the server
    averages these with weights n_k. ``"group"`` normalises each image by itself, over the channels of a group, which
    does not depend on whose images are in the batch. A normalised convolution has no bias, since the shift takes its
    place; its weights, and all others, start as they do without a normalisation.

    Args:
        model: the model's name, for errors.
        groups: of channels, for ``"group"``.

    Raises:
        ConfigError: ``groups`` does not divide the number of output channels.

    Reference: Hsieh et al., "The Non-IID Data Quagmire of Decentralized Machine Learning", ICML 2020, whose code
    normalises before ReLU, in two groups, after convolutions without bias; Wu & He, "Group Normalization", ECCV 2018.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, padding=padding)
    if norm == "none":
        return [layer, nn.ReLU()]
    layer.bias = None  # after it is drawn, so that the draws of the other layers do not change
    if norm == "batch":
        return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]
    if outputs % groups:
        raise ConfigError(
            f"model {model!r}: groups = {groups} must divide the {outputs} channels of a convolution",
            field="model.groups",
        )
    return [layer, nn.GroupNorm(groups, outputs), nn.ReLU()]
