"""The global random states of Python, NumPy and PyTorch, which no component may use: each gets its own rng."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Container, Mapping

import numpy as np
import torch
from torch import Tensor

_MT19937 = 4 * 624 + 4
"""Bytes of the state of NumPy's default legacy generator: its 624 words and the position in them."""


def global_states() -> dict[str, object]:
    """The state of each global generator by its library, to be compared before and after a call; costs about 10
    microseconds."""
    found = {
        "random": random.getstate(),
        "numpy.random": _numpy_state(),
        "torch": _bytes(torch.get_rng_state()),
    }
    # While a CUDA graph is captured its generator cannot be read; the rehearsals before it were looked at.
    if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():  # type: ignore[no-untyped-call]
        found["torch.cuda"] = [_bytes(state) for state in torch.cuda.get_rng_state_all()]
    return found


def used(before: Mapping[str, object], seeded: Container[str] = ()) -> list[str]:
    """The libraries whose global generator is not what it was.

    Args:
        before: of ``global_states``.
        seeded: libraries that are not looked at.
    """
    now = global_states()
    there = before.keys() & now.keys()  # CUDA may have been started in between
    return [name for name in before if name in there and name not in seeded and now[name] != before[name]]


def _bytes(state: Tensor) -> bytes:
    return state.numpy().tobytes()


def _numpy_state() -> object:
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if type(generator) is np.random.MT19937:
        # Read where it lies: as a dict it would cost 25 microseconds more.
        return ctypes.string_at(generator.ctypes.state_address, _MT19937)
    return repr(generator.state)  # somebody has put another generator there
