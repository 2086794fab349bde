"""The clients' learning rate from round to round: pure functions (history) -> factor of the configured rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from fedskew.protocols import RoundRecord
from fedskew.rules.stopping import monitored


def constant(history: Sequence[RoundRecord]) -> float:
    """Always 1.

    Formula: 1
    """
    return 1.0


def exponential(history: Sequence[RoundRecord], *, gamma: Annotated[float, Field(gt=0, le=1)]) -> float:
    """gamma to the power of the rounds done.

    Formula: gamma^t after t rounds
    """
    return float(gamma ** len(history))


def plateau(
    history: Sequence[RoundRecord],
    *,
    monitor: Literal["train_loss", "validation_loss"] = "validation_loss",
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    patience: Annotated[int, Field(ge=1)] = 5,
) -> float:
    """Times ``factor`` each time ``monitor`` has not improved for ``patience`` rounds (the count restarts after each).

    Formula: factor^m after m plateaus

    The authors' centralised baseline halves its rate this way.
    """
    best, waited, scale = float("inf"), 0, 1.0
    for value in monitored(history, monitor):
        if value < best:
            best, waited = value, 0
        else:
            waited += 1
        if waited == patience:
            scale, waited = scale * factor, 0
    return scale
