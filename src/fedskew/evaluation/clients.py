"""The global model, or personal ones, on each honest client's own data, which was not used for training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from fedskew.evaluation.fairness import jain, worst_tenth
from fedskew.portable import deviation, mean
from fedskew.protocols import ClientEvaluation

MOST_CLIENTS = 1000
"""For more clients than this, nothing is recorded client by client."""


def by_client(clients: Sequence[int], accuracy: Iterable[float]) -> dict[int, float]:
    """The accuracies of these clients as a record has them: by id, and none of too many clients."""
    return dict(zip(clients, map(float, accuracy), strict=True)) if len(clients) <= MOST_CLIENTS else {}


def held_out_metrics(evaluation: ClientEvaluation) -> dict[str, float]:
    """``held_out_accuracy_mean``, ``held_out_accuracy_std`` (population), ``held_out_accuracy_worst``,
    ``held_out_accuracy_worst_tenth`` and ``held_out_accuracy_jain`` over clients.

    Every client counts once, with any number of images.
    """
    return _over_clients("held_out_accuracy", evaluation.accuracies())


def personal_metrics(accuracy: Sequence[float], success: Sequence[float], share: float) -> dict[str, float]:
    """Those of ``held_out_metrics`` as ``personal_accuracy_...``, ``personal_share`` and, where there is a trigger,
    ``personal_attack_success_rate``, the mean over clients.

    Args:
        accuracy: of each client's personal model on its held-out images.
        success: the share of its held-out images of the attack's source classes that the trigger turns into the target;
            of the clients that have such images.
        share: of the clients that have a personal model.
    """
    found = _over_clients("personal_accuracy", torch.tensor(accuracy, dtype=torch.float64))
    found["personal_share"] = share
    if success:
        found["personal_attack_success_rate"] = float(mean(torch.tensor(success, dtype=torch.float64)))
    return found


def _over_clients(name: str, accuracy: Tensor) -> dict[str, float]:
    """The statistics of clients' accuracies, float64 [k], under names that begin with ``name``."""
    return {
        f"{name}_mean": float(mean(accuracy)),
        f"{name}_std": float(deviation(accuracy)),
        f"{name}_worst": float(accuracy.min()),
        f"{name}_worst_tenth": worst_tenth(accuracy),
        f"{name}_jain": jain(accuracy),
    }
