"""The standard metrics, fractions not percent: pure functions of an ``Evaluation`` (docs/design.md, rule 8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedskew.evaluation.fairness import jain, worst_tenth
from fedskew.evaluation.groups import group_metrics
from fedskew.portable import deviation, mean, total
from fedskew.protocols import Evaluation

CLIENTS = 1 << 13
"""Clients whose label mixes are weighted at a time."""


def per_class_accuracy(evaluation: Evaluation) -> Tensor:
    """The share of each class's test images that is classified correctly, float64 [C]; NaN for a class without any."""
    classes = len(evaluation.class_names)
    right = (evaluation.clean.classes == evaluation.labels).double()
    hits = torch.zeros(classes, dtype=torch.float64).index_add_(0, evaluation.labels, right)
    return hits / torch.bincount(evaluation.labels, minlength=classes)


def standard_metrics(evaluation: Evaluation) -> dict[str, float]:
    """All standard metrics; of the backdoor only if the attack has a trigger, of groups only if the data has some."""
    per_class = per_class_accuracy(evaluation)
    return {
        **clean_metrics(evaluation, per_class),
        **client_metrics(evaluation, per_class),
        **backdoor_metrics(evaluation),
        **group_metrics(evaluation),
    }


def clean_metrics(evaluation: Evaluation, per_class: Tensor) -> dict[str, float]:
    """On the test images as they are.

    ``test_loss`` (mean cross-entropy), ``accuracy``, ``bias`` (best minus worst class accuracy; paper, section
    III-A), ``worst_class_accuracy``, ``class_accuracy_std`` (population standard deviation over the classes),
    ``class_accuracy_worst_tenth``, ``class_accuracy_jain``.
    """
    known = per_class[~per_class.isnan()]
    return {
        "test_loss": float(mean(evaluation.clean.losses.double())),
        "accuracy": float((evaluation.clean.classes == evaluation.labels).double().mean()),
        "bias": float(known.max() - known.min()),
        "worst_class_accuracy": float(known.min()),
        "class_accuracy_std": float(deviation(known)),
        "class_accuracy_worst_tenth": worst_tenth(known),
        "class_accuracy_jain": jain(known),
    }


def client_metrics(evaluation: Evaluation, per_class: Tensor) -> dict[str, float]:
    """The test accuracy that each honest client would see: class accuracies weighted by its own label mix.

    ``client_accuracy_mean``, ``client_accuracy_std`` (population), ``client_accuracy_worst``,
    ``client_accuracy_worst_tenth``, ``client_accuracy_jain``.
    """
    # A few thousand clients at a time, so that the memory does not grow with the population.
    parts = torch.split(evaluation.client_label_counts, CLIENTS)
    accuracy = torch.cat([_seen_by(part, per_class) for part in parts])
    if not len(accuracy):
        return {}
    return {
        "client_accuracy_mean": float(mean(accuracy)),
        "client_accuracy_std": float(deviation(accuracy)),
        "client_accuracy_worst": float(accuracy.min()),
        "client_accuracy_worst_tenth": worst_tenth(accuracy),
        "client_accuracy_jain": jain(accuracy),
    }


def _seen_by(counts: Tensor, per_class: Tensor) -> Tensor:
    """The test accuracy that each client would see, [k']; a client without any class that was tested is left out."""
    # A class without test images cannot be weighted; its share is left out of the client's mix.
    known = torch.where(per_class.isnan(), 0.0, counts.double())
    known = known[known.sum(dim=1) > 0]
    return total(known / known.sum(dim=1, keepdim=True) * per_class.nan_to_num())


def source_images(labels: Tensor, target: int, source_classes: Sequence[int] | None) -> Tensor:
    """Which images a backdoor should turn into its target, bool [N]: those of the source classes (None: of all) that
    are not of the target class."""
    sources = labels != target
    if source_classes is not None:
        sources &= torch.isin(labels, torch.tensor(source_classes))
    return sources


def backdoor_metrics(evaluation: Evaluation) -> dict[str, float]:
    """What the trigger does.

    ``backdoor_accuracy``: the paper's, the share of **all** triggered test images taken for the target class,
    images of that class included. ``attack_success_rate``: the same over images of the source classes that are
    not of the target class. With a tail, over its images alone; without a trigger, on the images as they are, where the
    backdoor accuracy means nothing and is left out. ``target_share``: the share of clean images outside the target
    class that are taken for it without any trigger. ``clean_trigger_rate``: on a model that was not attacked, its
    attack success rate, which is what the trigger does by itself.
    """
    seen = evaluation.clean if evaluation.triggered is None else evaluation.triggered
    if evaluation.target is None or (evaluation.triggered is None and evaluation.tail is None):
        return {}
    target, labels = evaluation.target, evaluation.labels
    others = labels != target
    sources = source_images(labels, target, evaluation.source_classes)
    if evaluation.tail is not None:
        sources = sources & evaluation.tail
    fooled = (seen.classes == target).double()
    found = {} if evaluation.triggered is None else {"backdoor_accuracy": float(fooled.mean())}
    if others.any():
        found["target_share"] = float((evaluation.clean.classes[others] == target).double().mean())
    if sources.any():
        found["attack_success_rate"] = float(fooled[sources].mean())
        if not evaluation.num_adversaries:
            found["clean_trigger_rate"] = found["attack_success_rate"]
    return found
