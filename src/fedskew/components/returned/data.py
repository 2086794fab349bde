"""Checks of splits and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from fedskew.errors import ConfigError
from fedskew.protocols import IndexArray


def checked_split(name: str, parts: Sequence[Any], total: int, clients: int) -> list[IndexArray]:
    """One array of positions per client; disjoint and together all of them.

    Raises:
        ConfigError: they are not.
    """
    if len(parts) != clients:
        raise ConfigError(f"split {name!r} returned {len(parts)} parts for {clients} clients")
    arrays = [np.asarray(part, dtype=np.int64).reshape(-1) for part in parts]
    positions = np.sort(np.concatenate(arrays))
    if len(positions) != total or not np.array_equal(positions, np.arange(total)):
        raise ConfigError(
            f"split {name!r} did not divide the {total} images: every position must be given to exactly one client"
        )
    return arrays


def checked_model(name: str, module: object) -> nn.Module:
    """An ``nn.Module``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name!r} must return an nn.Module, not {type(module).__name__}")
    return module
