"""Trojan patterns: the paper's plus at its exact pixels, a square, any user mask.

Positions are written for images of 28x28 and more; on smaller ones they shrink with the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from fedskew.arrays import read_array
from fedskew.errors import ConfigError
from fedskew.protocols import DatasetInfo, Trigger
from fedskew.reading import open_file

Pixel = Annotated[int, Field(ge=0, le=255)]
Position = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]

REFERENCE = 28
"""The image side for which the paper's positions are written; larger images use them unchanged."""


def _scale(info: DatasetInfo) -> float:
    return min(1.0, min(info.image_shape[1:]) / REFERENCE)


def _filled(info: DatasetInfo, mask: torch.Tensor, value: int) -> Trigger:
    return Trigger(mask, torch.full(info.image_shape, value, dtype=torch.uint8))


def _check_inside(name: str, info: DatasetInfo, row: int, column: int, size: int) -> None:
    _, height, width = info.image_shape
    if row + size > height or column + size > width:
        raise ConfigError(
            f"trigger {name!r} of size {size} at row {row}, column {column} "
            f"does not fit into the {height}x{width} images of {info.name}"
        )


def plus(
    info: DatasetInfo,
    *,
    row: Position | None = None,
    column: Position | None = None,
    size: Size | None = None,
    value: Pixel = 255,
) -> Trigger:
    """A plus sign, one pixel thick.

    Formula: x <- value in the pixels of the plus

    Args:
        row, column: of its top left corner; 5 and 3 unless given, scaled down (rounded towards the
            corner) for images below 28x28.
        size: odd; 5 unless given, so that rows 5-9 of column 5 and columns 3-7 of row 7 are set; scaled
            down likewise, but never below 3.
        value: in all channels, before normalisation.

    Raises:
        ConfigError: an even size, or a plus that leaves the image.

    Reference: Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated
    Learning", 2021, Figure 1; the pixels are those of the authors' code.
    """
    scale = _scale(info)
    row = int(5 * scale) if row is None else row
    column = int(3 * scale) if column is None else column
    size = max(3, 2 * round((5 * scale - 1) / 2) + 1) if size is None else size
    if size % 2 == 0:
        raise ConfigError(f"trigger 'plus' needs an odd size, got {size}")
    _check_inside("plus", info, row, column, size)
    mask = torch.zeros(info.image_shape[1:], dtype=torch.bool)
    mask[row : row + size, column + size // 2] = True
    mask[row + size // 2, column : column + size] = True
    return _filled(info, mask, value)


def square(
    info: DatasetInfo,
    *,
    row: Position | None = None,
    column: Position | None = None,
    size: Size | None = None,
    value: Pixel = 255,
) -> Trigger:
    """A filled square.

    Formula: x <- value in the pixels of the square

    Args:
        row, column: of its top left corner; unless given, one pixel away from the bottom right corner.
        size: 4 unless given, scaled down for images below 28x28, but never below 2.
        value: in all channels, before normalisation.

    Raises:
        ConfigError: a square that leaves the image.

    Reference: Gu, Dolan-Gavitt & Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply
    Chain", 2017 (arXiv 1708.06733).
    """
    _, height, width = info.image_shape
    size = max(2, round(4 * _scale(info))) if size is None else size
    row = max(height - size - 1, 0) if row is None else row
    column = max(width - size - 1, 0) if column is None else column
    _check_inside("square", info, row, column, size)
    mask = torch.zeros((height, width), dtype=torch.bool)
    mask[row : row + size, column : column + size] = True
    return _filled(info, mask, value)


def mask(info: DatasetInfo, *, path: Path, value: Pixel | None = None) -> Trigger:
    """Any pattern, from a ``.npy`` file of uint8 [height, width] or [channels, height, width].

    Formula: x <- value in the pixels in which the file is not 0

    Args:
        path: relative to the current folder.
        value: what to put where the file is not 0 in some channel; the file's own values unless given.

    Raises:
        ConfigError: the file cannot be read, or has another shape or type, or is 0 everywhere.
    """
    channels, height, width = info.image_shape
    try:
        # A pattern is at most one image and a header; a larger file is not read at all.
        if (held := path.stat().st_size) > channels * height * width + 10_000:
            raise ConfigError(f"trigger 'mask': {path} is larger than one {height}x{width} image")
        with open_file(path) as file:
            pattern = read_array(file, held)
    except (OSError, ValueError) as error:
        raise ConfigError(f"trigger 'mask': cannot read {path}: {error}") from None
    if pattern.dtype != np.uint8 or pattern.shape not in ((height, width), (channels, height, width)):
        raise ConfigError(
            f"trigger 'mask': {path} holds {pattern.dtype} {list(pattern.shape)}; "
            f"expected uint8 [{height}, {width}] or [{channels}, {height}, {width}]"
        )
    if not pattern.any():
        raise ConfigError(f"trigger 'mask': {path} is 0 everywhere, so it changes no pixel")
    tensor = torch.from_numpy(pattern).expand(channels, height, width).clone()
    where = (tensor != 0).any(dim=0)
    return Trigger(where, tensor) if value is None else _filled(info, where, value)
