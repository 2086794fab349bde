"""The global model on each honest client's own data, which was not used for training."""

from __future__ import annotations

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
    accuracy = evaluation.accuracies()
    return {
        "held_out_accuracy_mean": float(mean(accuracy)),
        "held_out_accuracy_std": float(deviation(accuracy)),
        "held_out_accuracy_worst": float(accuracy.min()),
        "held_out_accuracy_worst_tenth": worst_tenth(accuracy),
    }
