"""Checks of how clients' data is altered."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedskew.components.returned.record import checked_parts
from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError
from fedskew.protocols import ClientShift


def checked_shift(name: str, found: object) -> ClientShift:
    """How a client's data is altered.

    Args:
        name: of the shift.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(found, ClientShift):
        raise ConfigError(f"shift {name!r} must return a ClientShift, not {type(found).__name__}")
    checked_parts(f"shift {name!r}", found)
    for value, number in found.values.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
            raise ConfigError(
                f"shift {name!r}: values[{value!r}] of its ClientShift is {described(number)}; expected a number"
            )
    return found


def checked_shifted_images(name: str, found: object, given: Tensor) -> Tensor:
    """Images of the same number and shape as those that were given, uint8.

    Raises:
        ConfigError: they are something else.
    """
    if not isinstance(found, Tensor) or found.dtype != torch.uint8 or found.shape != given.shape:
        raise ConfigError(
            f"shift {name!r} returned {described(found)} for images; expected uint8 {list(given.shape)}"
        )
    return found


def checked_shifted_labels(name: str, found: object, given: Tensor, num_classes: int) -> Tensor:
    """As many labels as were given, int64, each in 0 .. C-1.

    Raises:
        ConfigError: they are something else.
    """
    fits = isinstance(found, Tensor) and found.dtype == torch.int64 and found.shape == given.shape
    if not fits or (len(given) and not 0 <= int(found.min()) <= int(found.max()) < num_classes):  # type: ignore[attr-defined]
        raise ConfigError(
            f"shift {name!r} returned {described(found)} for labels; expected int64 {list(given.shape)}, each of "
            f"0 to {num_classes - 1}"
        )
    return found  # type: ignore[return-value]
