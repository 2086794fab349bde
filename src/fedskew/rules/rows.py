"""The built-in stopping rules and schedules of the clients' learning rate."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "lr-schedule": {
        "constant": Row("fedskew.rules.schedules:constant", "the clients' learning rate as it is"),
        "plateau": Row(
            "fedskew.rules.schedules:plateau",
            "scaled down each time a loss has not improved for some rounds",
            {"monitor": "validation_loss", "factor": 0.5, "patience": 5},
        ),
        "exponential": Row(
            "fedskew.rules.schedules:exponential", "scaled by gamma every round", {"gamma": REQUIRED}
        ),
    },
    "stopping": {
        "plateau": Row(
            "fedskew.rules.stopping:plateau",
            "stop when a loss has not improved for `patience` rounds",
            {"monitor": "train_loss", "patience": 10, "min_delta": 0.0},
        ),
        "rounds": Row("fedskew.rules.stopping:rounds", "run all rounds", facts=Facts(never_stops=True)),
    },
}
