"""A trigger that is blended into the image instead of replacing its pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from fedskew.components.binding import resolve
from fedskew.components.returned import checked_trigger
from fedskew.config import Component
from fedskew.protocols import DatasetInfo, Trigger
from fedskew.seeding import stream


def blended(
    info: DatasetInfo,
    *,
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.2,
    pattern: Component | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Trigger:
    """A pattern t that is mixed with the image, before normalisation.

    Formula: x <- round((1 - alpha) x + alpha t) in the pixels of the pattern t

    Args:
        alpha: the weight of the pattern; 1 replaces the pixels.
        pattern: a component of the kind "trigger"; unless given, noise over the whole image: whole numbers from 0 to
            255, equally likely, drawn for each pixel and channel.
        seed: of the noise; it is the same in every run with this seed.

    Raises:
        ConfigError: a pattern that does not fit the images.

    Reference: Chen et al., "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning", 2017 (arXiv
    1712.05526), blended injection.

    A white pixel in a quarter of the weight, over black and over 100: 63.75 and 138.75, rounded.

    >>> stamp = Trigger(torch.tensor([[True]]), torch.tensor([[[255]]], dtype=torch.uint8), weight=0.25)
    >>> stamp.apply(torch.tensor([0, 100], dtype=torch.uint8).view(2, 1, 1, 1)).flatten().tolist()
    [64, 139]
    """
    if pattern is not None:
        made = resolve("trigger", pattern, "attack.trigger.pattern")(info)
        stamp = checked_trigger(pattern.label, made, info)
        return replace(stamp, weight=alpha * stamp.weight)
    drawn = stream(seed, "blended trigger").integers(0, 256, info.image_shape, dtype=np.uint8)
    everywhere = torch.ones(info.image_shape[1:], dtype=torch.bool)
    return Trigger(everywhere, torch.from_numpy(drawn), alpha)
