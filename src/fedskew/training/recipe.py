"""How a client trains, apart from on which images: optimiser, learning rate, objective."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedskew.config import SGD, Adam
from fedskew.protocols import LocalObjective, State

KEPT = "objective."
"""What a client keeps for its objective is stored beside its optimiser's state, under names that begin so."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What the clients that train alike have in common.

    Attributes:
        optimizer: its settings.
        lr_scale: factor of the configured learning rate, from the schedule.
        objective: what they minimise beside their loss.
        sent: what the server sent along for it, on the device.
    """

    optimizer: Adam | SGD
    lr_scale: float = 1.0
    objective: LocalObjective = LocalObjective()
    sent: State = field(default_factory=dict)
