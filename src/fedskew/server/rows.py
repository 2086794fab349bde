"""The built-in server steps: optimisers, none of them a defence."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

_FEDDYN: dict[str, str | float] = {
    "training.objective": "feddyn",
    "defence.learning_rate": "constant",
    "server.learning_rate": 1.0,
}
"""A rate would change what the sum of all movements leads to, and not the sum."""
_ADAPTIVE = {"beta1": 0.9, "beta2": 0.99, "tau": 0.001}

ROWS = {
    "server-step": {
        "plain": Row(
            "fedskew.server.plain:plain", "the aggregated update as it is", facts=Facts(defends=False)
        ),
        "momentum": Row(
            "fedskew.server.momentum:momentum",
            "server momentum (FedAvgM)",
            {"beta": REQUIRED},
            Facts(factory=True, defends=False),
        ),
        "adam": Row(
            "fedskew.server.adaptive:adam",
            "FedAdam; with server.learning_rate from 0.01 to 0.1",
            _ADAPTIVE,
            Facts(factory=True, defends=False),
        ),
        "feddyn": Row(
            "fedskew.server.feddyn:feddyn",
            "FedDyn's server half: plus the sum of all movements; with training.objective = 'feddyn'",
            facts=Facts(factory=True, defends=False, needs=_FEDDYN),
        ),
        "yogi": Row(
            "fedskew.server.adaptive:yogi",
            "FedYogi; with server.learning_rate from 0.01 to 0.1",
            _ADAPTIVE,
            Facts(factory=True, defends=False),
        ),
        "adagrad": Row(
            "fedskew.server.adaptive:adagrad",
            "FedAdagrad; with server.learning_rate from 0.01 to 0.1",
            {"beta1": 0.0, "tau": 0.001},
            Facts(factory=True, defends=False),
        ),
    }
}
