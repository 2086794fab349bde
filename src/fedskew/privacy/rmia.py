"""RMIA: how much likelier the model makes a record than models do that never saw it, ranked among public images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.protocols import Guess, PrivacyAttack, PrivacyView, State

MOST = 1_000
"""Public images z that a record is compared with."""


def rmia(
    *,
    references: Annotated[int, Field(ge=1)] = 2,
    rounds: Annotated[int, Field(ge=1)] = 10,
    a: Annotated[float, Field(ge=0, le=1)] = 0.3,
    gamma: Annotated[float, Field(gt=0)] = 1.0,
) -> PrivacyAttack:
    """The outsider's robust attack: a record was trained on if its likelihood ratio exceeds that of most public images.

    Formula: p(x | w) = exp(-l(x; w));
    p(x) = ((1 + a) * p_out(x) + 1 - a) / 2, with p_out(x) the mean of p(x | r) over reference models r;
    score(x) = share of public images z with p(x | w_T) / p(x) >= gamma * p(z | w_T) / p(z)

    This is the offline attack: no reference has seen a record. The attacker trains the references, each from initial
    weights of its own with the clients' recipe on a random half of the public images, of which none is a z. Runs of the
    same study with other seeds would be no such references: in each of them nearly every record is trained on by some
    client. What a reference lacks is the clients' mix of classes and their number of images.

    Args:
        references: how many.
        rounds: for how many rounds each is trained, as a client trains in a round.
        a: the slope of the line p_in(x) = a * p_out(x) + 1 - a, by which p(x) = (p_in(x) + p_out(x)) / 2 is guessed; at
            1 p(x) is p_out(x).
        gamma: how many times the ratio of z the record's must be.

    Reference: Zarifzadeh, Liu & Shokri, "Low-Cost High-Power Membership Inference Attacks", ICML 2024; ``a`` is that of
    the authors' Privacy Meter.
    """

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        order = torch.from_numpy(view.rng.permutation(len(view.public)))
        others, pool = order[: min(MOST, len(order) // 2)], order[min(MOST, len(order) // 2) :]
        if not len(others):
            return Guess(torch.full((len(view.records),), torch.nan, dtype=torch.float64))
        images = torch.cat([view.records, view.public[others]])
        labels = torch.cat([view.labels, view.public_labels[others]])
        outside = torch.zeros(len(labels), dtype=torch.float64)
        for number in range(references):
            half = pool[torch.from_numpy(view.rng.permutation(len(pool)))][: (len(order) + 1) // 2]
            losses = view.reference(view.public[half], view.public_labels[half], rounds, number)
            outside += (-losses(images, labels).double()).exp() / references
        inside = (-view.losses(final, images, labels).double()).exp()
        ratio = inside / (((1 + a) * outside + 1 - a) / 2)
        return Guess(dominated(ratio[: len(view.records)], gamma * ratio[len(view.records) :]))

    return PrivacyAttack("outsider", "membership", guess)


def dominated(ratios: Tensor, others: Tensor) -> Tensor:
    """float64 [N]: the share of the others, float64 [M], that each ratio, float64 [N], reaches; NaN of NaN.

    >>> dominated(torch.tensor([0.5, 2.0, 3.0]).double(), torch.tensor([3.0, 1.0, 2.0, 4.0]).double())
    tensor([0.0000, 0.5000, 0.7500], dtype=torch.float64)
    """
    below = torch.searchsorted(others.sort().values, ratios, right=True)
    return torch.where(ratios.isnan(), torch.nan, below.double() / len(others))
