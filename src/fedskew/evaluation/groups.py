"""What a model is worth to each group of images, and by how much groups differ: of the test images as they are.

The two measures of differences are defined for two classes, of which one is the positive one. Of more classes each in
turn is taken as positive and the others together as negative, and the largest difference counts. Of two classes this
is the usual definition, whichever of them is positive.

A group without test images is left out of everything, and one without images of a kind out of the rates of this kind. A
difference needs two groups; where no rate has two, the measure is left out.

References: M. Hardt, E. Price, N. Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016 (equalized
odds); C. Dwork et al., "Fairness Through Awareness", ITCS 2012 (statistical parity).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedskew.protocols import Evaluation


@dataclass(frozen=True)
class GroupCounts:
    """Test images of G groups and C classes.

    Attributes:
        images, taken, right: float64 [G, C]: of a group the images of each class, the images that are taken for it, and
            those of which both is true.
    """

    images: Tensor
    taken: Tensor
    right: Tensor

    @property
    def all(self) -> Tensor:
        """The images of each group, [G, 1]."""
        return self.images.sum(dim=1, keepdim=True)

    @property
    def accuracy(self) -> Tensor:
        """The share of each group's images that is classified correctly, [G]; NaN for a group without any."""
        return (self.right.sum(dim=1, keepdim=True) / self.all)[:, 0]


def group_counts(evaluation: Evaluation) -> GroupCounts | None:
    """Counts the test images; None where the data does not say their groups."""
    groups, labels, classes = evaluation.groups, evaluation.labels, evaluation.clean.classes
    if groups is None:
        return None
    shape = len(evaluation.group_names), len(evaluation.class_names)

    def counted(which: Tensor, of: Tensor) -> Tensor:
        return torch.bincount(which * shape[1] + of, minlength=math.prod(shape)).view(shape).double()

    right = classes == labels
    return GroupCounts(
        counted(groups, labels), counted(groups, classes), counted(groups[right], labels[right])
    )


def per_group_accuracy(evaluation: Evaluation) -> dict[str, float]:
    """The share of each group's test images that is classified correctly, by the group's name; NaN for a group without
    any. Nothing where the data has no groups."""
    counts = group_counts(evaluation)
    if counts is None:
        return {}
    return dict(zip(evaluation.group_names, counts.accuracy.tolist(), strict=True))


def group_metrics(evaluation: Evaluation) -> dict[str, float]:
    """By how much groups differ.

    ``worst_group_accuracy``; ``group_accuracy_gap`` (best minus worst); ``demographic_parity_difference``: the largest
    difference between two groups in the share of images that are taken for a class, over all classes;
    ``equalized_odds_difference``: the same among the images of that class, or among those of all others; the largest.

    Nothing where the data has no groups, or fewer than two of them have test images.
    """
    counts = group_counts(evaluation)
    if counts is None:
        return {}
    accuracy, wrong = counts.accuracy, counts.taken - counts.right
    rates = {
        "group_accuracy_gap": accuracy[:, None],
        "demographic_parity_difference": counts.taken / counts.all,
        "equalized_odds_difference": torch.cat(
            [counts.right / counts.images, wrong / (counts.all - counts.images)], dim=1
        ),
    }
    gaps = {name: largest_difference(rate) for name, rate in rates.items()}
    found = {name: gap for name, gap in gaps.items() if gap is not None}
    known = accuracy[~accuracy.isnan()]
    return {"worst_group_accuracy": float(known.min()), **found} if found else {}


def largest_difference(rates: Tensor) -> float | None:
    """The largest difference between two groups in one of R rates; None where no rate is known of two groups.

    Args:
        rates: float64 [G, R], from 0 to 1; NaN where a group has none.
    """
    compared = rates[:, (~rates.isnan()).sum(dim=0) > 1]
    differences = compared.nan_to_num(-1.0).amax(dim=0) - compared.nan_to_num(2.0).amin(dim=0)
    return float(differences.max()) if len(differences) else None
