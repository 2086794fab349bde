"""What the global model is worth to each honest client, on data of its own that nobody trained on."""

from __future__ import annotations

from fedskew.protocols import ClientEvaluation


def held_out_metrics(evaluation: ClientEvaluation) -> dict[str, float]:
    """``held_out_accuracy_mean``, ``held_out_accuracy_std`` (population) and ``held_out_accuracy_worst`` over clients.

    Every client counts once, however many images it holds.
    """
    accuracy = evaluation.accuracies()
    return {
        "held_out_accuracy_mean": float(accuracy.mean()),
        "held_out_accuracy_std": float(accuracy.std(correction=0)),
        "held_out_accuracy_worst": float(accuracy.min()),
    }
