"""Coordinate-wise median (Yin et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.protocols import ClientUpdates, ServerView

ENTRIES = 1 << 18
"""Entries of the matrix sorted at a time: bounds the extra memory for any number of clients and parameters."""


def median(updates: ClientUpdates, view: ServerView) -> Tensor:
    """The median of each parameter over the clients, [P]; of an even number of clients the mean of the middle two."""
    deltas = updates.deltas
    upper, lower = len(deltas) // 2, (len(deltas) - 1) // 2
    result = torch.empty_like(deltas[0])
    step = max(1, ENTRIES // len(deltas))
    for start in range(0, deltas.shape[1], step):
        ordered = _ordered(deltas[:, start : start + step])
        # Halved before they are added, so that large but finite entries do not overflow.
        middle = ordered[:, lower] if lower == upper else ordered[:, lower] / 2 + ordered[:, upper] / 2
        # -0.0 becomes 0.0: which of equal numbers sorting puts in the middle depends on the processor.
        result[start : start + step] = middle + 0.0
    return result


def _ordered(columns: Tensor) -> Tensor:
    """A copy of some columns [S, c] as rows [c, S], each in ascending order."""
    rows = columns.T.clone(memory_format=torch.contiguous_format)
    if rows.device.type != "cpu":
        return rows.sort(dim=1).values
    rows.numpy().sort(axis=1)  # in place; vectorised, and several times as fast as PyTorch's
    return rows
