"""The global model on each honest client's own data, which was not used for training."""

from __future__ import annotations

from fedskew.evaluation.fairness import jain, worst_tenth
from fedskew.portable import deviation, mean
from fedskew.protocols import ClientEvaluation


def held_out_metrics(evaluation: ClientEvaluation) -> dict[str, float]:
    """``held_out_accuracy_mean``, ``held_out_accuracy_std`` (population), ``held_out_accuracy_worst``,
    ``held_out_accuracy_worst_tenth`` and ``held_out_accuracy_jain`` over clients.

    Every client counts once, with any number of images.
    """
    accuracy = evaluation.accuracies()
    return {
        "held_out_accuracy_mean": float(mean(accuracy)),
        "held_out_accuracy_std": float(deviation(accuracy)),
        "held_out_accuracy_worst": float(accuracy.min()),
        "held_out_accuracy_worst_tenth": worst_tenth(accuracy),
        "held_out_accuracy_jain": jain(accuracy),
    }
