"""Coordinate-wise median (Yin et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.protocols import ClientUpdates, ServerView

CHUNK = 1 << 16
"""Parameters sorted at a time: bounds the extra memory to S x CHUNK, whatever the model's size."""


def median(updates: ClientUpdates, view: ServerView) -> Tensor:
    """The median of each parameter over the clients, [P]; of an even number of clients the mean of the middle two."""
    deltas = updates.deltas
    upper, lower = len(deltas) // 2, (len(deltas) - 1) // 2
    result = torch.empty_like(deltas[0])
    for start in range(0, deltas.shape[1], CHUNK):
        ordered = deltas[:, start : start + CHUNK].sort(dim=0).values
        # Halved before they are added, so that large but finite entries do not overflow.
        middle = ordered[lower] if lower == upper else ordered[lower] / 2 + ordered[upper] / 2
        result[start : start + CHUNK] = middle
    return result
