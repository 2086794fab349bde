"""The global model, or personal ones, on each honest client's own data, which was not used for training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedskew.portable import deviation, mean
from fedskew.protocols import ClientEvaluation


def worst_tenth(accuracy: Tensor) -> float:
    """The mean accuracy of the tenth of the clients with the lowest, rounded down but at least one: float64 [k], k > 0.

    The worst client alone is an extreme of few images, which grows with the number of clients; a tenth of them is not.
    """
    lowest = accuracy.sort().values[: max(1, len(accuracy) // 10)]
    return float(mean(lowest))


def held_out_metrics(evaluation: ClientEvaluation) -> dict[str, float]:
    """``held_out_accuracy_mean``, ``held_out_accuracy_std`` (population), ``held_out_accuracy_worst`` and
    ``held_out_accuracy_worst_tenth`` over clients.

    Every client counts once, with any number of images.
    """
    return _over_clients("held_out_accuracy", evaluation.accuracies())


def personal_metrics(accuracy: Sequence[float], success: Sequence[float], share: float) -> dict[str, float]:
    """The four of ``held_out_metrics`` as ``personal_accuracy_...``, ``personal_share`` and, where there is a trigger,
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
    }
