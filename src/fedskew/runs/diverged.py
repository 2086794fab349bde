"""Whether a round's model is one that training has lost, as its record says it."""

from __future__ import annotations

import math

from fedskew.protocols import RoundRecord

BLOWN_UP = 100.0
"""How many times the loss of a guess, ln(C), a test loss must be."""


def all_rejected(record: RoundRecord) -> bool:
    """Whether updates were sent in a round and none of them was finite."""
    return bool(record.rejected) and not record.arrived


def diverged(record: RoundRecord) -> str:
    """Why the numbers of a round are not those of a trained model, in words; empty where they may be."""
    if all_rejected(record):
        return f"all {len(record.rejected)} updates were rejected as not finite"
    loss, classes = record.metrics.get("test_loss", 0.0), len(record.per_class_accuracy)
    if not math.isfinite(loss):
        return "the loss on the test images is not finite"
    if classes > 1 and loss > BLOWN_UP * math.log(classes):
        return f"the loss on the test images is {loss:.4g}, and that of a guess {math.log(classes):.2f}"
    return ""
