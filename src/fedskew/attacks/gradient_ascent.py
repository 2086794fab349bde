"""Gradient ascent: adversaries that train to make their loss larger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.protocols import Attack, DatasetInfo, LocalObjective, LocalSettings, LocalView


def ascend(gradient: Tensor, view: LocalView) -> None:
    """gradient <- -gradient, [P] or [R, P], in place."""
    gradient.neg_()


def gradient_ascent(
    info: DatasetInfo, *, lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
) -> Attack:
    """Each adversary negates the gradient in every local step, and sends where that led.

    Formula: gradient <- -gradient

    The optimiser is as it would be: SGD goes up along the gradient, Adam by its step of about the learning rate in
    each entry. Weight decay, which the optimiser adds, is not negated. The objective of the honest clients (FedProx and
    the like) does not apply to adversaries. This is the "sign flip" of some papers; in one step of SGD it is
    "sign-flip" with scale 1.

    The loss has no upper bound, and nothing limits where SGD leads: with a large learning rate and many steps the
    weights grow by a factor in each step until they are not finite. Such an update is left out of its round
    (``rejected`` in its record), as any other is, and the report marks a run in which all of theirs are
    ("attack-never-ran"). Shortly before that, updates are finite but so long that one carries the mean away. A smaller
    ``lr`` avoids both.

    Args:
        lr: of the adversaries' training; None: as honest clients train.

    Reference: Li, Xu, Chen, Giannakis & Ling, "RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed
    Learning from Heterogeneous Datasets", AAAI 2019, section 5 (sign-flipping, there of a single step).

    >>> import torch
    >>> gradient = torch.tensor([1.0, -2.0])
    >>> ascend(gradient, LocalView(torch.zeros(2), torch.zeros(2), {}, {}, lr=0.1))
    >>> gradient
    tensor([-1.,  2.])
    """
    return Attack(objective=LocalObjective(add=ascend), training=LocalSettings(lr=lr))
