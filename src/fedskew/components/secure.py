"""What secure aggregation excludes: whatever needs more of a round than sums over its clients.

Nothing is encrypted here. A run under ``server.secure_aggregation`` computes the numbers that it would compute without,
and refuses what a server that only learns sums could not do or see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedskew.components.known import works_on_sums
from fedskew.components.row import SECURE
from fedskew.components.table import BUILT_IN
from fedskew.config import Experiment
from fedskew.errors import ConfigError

if TYPE_CHECKING:  # nothing of a protocol is needed to check a config
    from fedskew.protocols import Seat


def check_sums(experiment: Experiment) -> None:
    """Refuses, under secure aggregation, components that need what single clients send, and rounds of one client.

    Raises:
        ConfigError: names the field.
    """
    if not experiment.server.secure_aggregation:
        return
    if experiment.clients.per_round == 1:
        raise ConfigError(
            f"{SECURE} hides an update among those of other clients, and there is 1 client in a round",
            "take more clients per round",
            "server.secure_aggregation",
        )
    defence = experiment.defence
    parts = [
        *((f"defence.transforms[{i}]", "transform", part) for i, part in enumerate(defence.transforms)),
        ("defence.aggregator", "aggregator", defence.aggregator),
        ("defence.learning_rate", "learning-rate", defence.learning_rate),
        ("clients.selection", "selection", experiment.clients.selection),
        ("training.objective", "objective", experiment.training.objective),
    ]
    for where, kind, component in parts:
        if works_on_sums(kind, component):
            continue
        options = ", ".join(f"{name} = {value}" for name, value in component.options.items())
        own = component.label in BUILT_IN[kind]
        raise ConfigError(
            f"{where}: {component.label!r}{options and f' with {options}'} needs what single clients send, and with "
            f"{SECURE} the server learns only sums over them",
            "docs/privacy-attacks.md lists what works on sums"
            if own
            else "one that works on sums states it with @fedskew.facts(sums=lambda options: True)",
            where,
        )


def check_seat(experiment: Experiment, where: str, what: str, seat: Seat) -> None:
    """Refuses, under secure aggregation, somebody who watches a run from the seat of a server that sees updates.

    Args:
        where: the field.
        what: kind and name, for the sentence.

    Raises:
        ConfigError: names the field.
    """
    if experiment.server.secure_aggregation and seat == "server":
        raise ConfigError(
            f'{where}: {what} has the seat "server", and with {SECURE} the server sees only the aggregate',
            'take one with the seat "aggregate", "client" or "outsider"',
            where,
        )
