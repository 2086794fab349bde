"""No shift: clients' data is as the data set has it."""

from __future__ import annotations

from fedskew.protocols import ClientShift, Rng, ShiftView


def none(view: ShiftView, rng: Rng) -> ClientShift:
    """Features and labels stay as they are.

    Formula: x' = x;
    y' = y
    """
    return ClientShift()
