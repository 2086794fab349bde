"""The mean of updates that are clipped to a norm, as several rules take it."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.portable import weighted_sum


def clipped_mean(deltas: Tensor, norms: Tensor, bound: Tensor | float, kept: Tensor | None = None) -> Tensor:
    """The mean of the rows of [S, P], each scaled down to an L2 norm of at most ``bound``, float64 [P].

    Where no row is longer, it is the mean of the rows; where none is kept, 0.

    Args:
        norms: float64 [S], the L2 norms of the rows.
        kept: bool [S], the rows that count; None for all.
    """
    scale = torch.where(norms > bound, bound / norms, 1.0)
    if kept is not None:
        scale = scale * kept
    count = len(deltas) if kept is None else int(kept.sum())
    return weighted_sum(scale, deltas) / max(1, count)


def shares(kept: Tensor) -> Tensor:
    """The weight of each row in the mean of the rows that are kept, bool [S] -> float [S]."""
    return kept.float() / max(1, int(kept.sum()))
