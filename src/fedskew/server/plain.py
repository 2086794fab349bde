"""The plain server step: w + eta * delta."""

from __future__ import annotations

from torch import Tensor


def plain(delta: Tensor) -> Tensor:
    """The aggregated delta as it is, [P].

    Formula: delta_t
    """
    return delta
