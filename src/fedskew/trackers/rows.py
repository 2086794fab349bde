"""The built-in trackers."""

from __future__ import annotations

from fedskew.components.row import Row

ROWS = {
    "callback": {
        "tensorboard": Row(
            "fedskew.trackers.tensorboard:tensorboard",
            "--track: scalars of every round for TensorBoard (the authors' tracker)",
            {"where": None},
        ),
        "mlflow": Row(
            "fedskew.trackers.mlflow:mlflow",
            "--track: an MLflow experiment per study, an MLflow run per run",
            {"where": None},
        ),
        "wandb": Row(
            "fedskew.trackers.wandb:wandb",
            "--track: a Weights & Biases project per study, offline",
            {"where": None},
        ),
    }
}
