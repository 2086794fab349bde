"""The global random states of Python, NumPy and PyTorch, which no component may use: each gets its own rng."""

from __future__ import annotations

import random
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def global_states() -> dict[str, object]:
    """The state of each global generator by its library, to be compared before and after a call; costs about 40
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
    # Normal numbers come in pairs: the second is kept outside of the generator, and to draw it leaves this as it was.
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 (looks, and draws nothing)
    if state["bit_generator"] == "MT19937":
        words = state["state"]
        return words["key"].tobytes(), words["pos"], state["has_gauss"], state["gauss"]
    return repr(state)  # somebody has put another generator there
