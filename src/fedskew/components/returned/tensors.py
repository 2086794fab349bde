"""Checks of tensors, numbers and states, from any component."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real

import torch
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.protocols import State


def described(found: object) -> str:
    """A value in a few words, for errors: a tensor by type and shape, a number by itself, the rest by type."""
    if isinstance(found, Tensor):
        return f"{str(found.dtype).removeprefix('torch.')} {list(found.shape)}"
    if found is None or isinstance(found, Real):
        return str(found)
    return type(found).__name__


def same_shape(name: str, found: object, expected: Tensor) -> Tensor:
    """A tensor of the expected shape, in the expected type and on the expected device.

    Args:
        name: who returned it, for example ``"aggregator 'median'"``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(f"{name} returned {what}, not a tensor of shape {list(expected.shape)}")
    return without_history(found).to(expected)


def without_history(found: Tensor) -> Tensor:
    """The tensor without the operations that made it, of which a component may have let autograd keep track."""
    return found.detach() if found.requires_grad else found


def tensor_of(name: str, found: object, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    """A tensor of exactly this type and shape.

    Args:
        name: who returned it and as what, for example ``"transform 'clip' returned client_ids"``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(found, Tensor) or found.dtype != dtype or found.shape != torch.Size(shape):
        wanted = f"{str(dtype).removeprefix('torch.')} {list(shape)}"
        raise ConfigError(f"{name} = {described(found)}; expected {wanted}")
    return found


def number(found: object) -> float | None:
    """A finite number, also from a tensor without dimensions; None if it is something else."""
    if isinstance(found, Tensor) and found.ndim == 0 and not found.is_complex():
        found = found.item()
    if not isinstance(found, Real):
        return None
    value = float(found)
    return value if math.isfinite(value) else None


def checked_state(name: str, state: object) -> State:
    """Named tensors, which is what a checkpoint can keep.

    Args:
        name: who returned it, for example ``"aggregator 'mine'"``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(state, Mapping):
        raise ConfigError(f"{name} returned {described(state)} as its state; expected {{name: tensor}}")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ConfigError(f"{name} returned {described(value)} as state {key!r}; expected a tensor")
    return dict(state)
