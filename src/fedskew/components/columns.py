"""What tables of results call their columns, apart from axes and metrics, which may therefore not be called so."""

from __future__ import annotations

RESULTS = ("seed", "run", "rounds", "stopped", "engine", "threat_model", "diverged")
"""Of the table of results, a row for each complete run."""
STATISTICS = ("metric", "mean", "std", "low", "high", "n", "runs", "seeds")
"""Of tables over seeds."""
RUNS = (
    "seed",
    "run",
    "status",
    "why",
    "rounds",
    "seconds",
    "sessions",
    "stopped",
    "engine",
    "device",
    "workers",
    "started",
    "commit",
    "threat_model",
    "diverged",
)
"""Of the frame of runs, in its order, between the axes and the numbers."""
LONG = ("round", "metric", "value", "name", "client", "class", "group")
"""Of frames with a row for each round, class or client."""
CLIENTS = ("images", "malicious", "rejected", "weight", "held_out_accuracy", "personal_accuracy")
"""Of the frame of clients, besides counts of classes."""
