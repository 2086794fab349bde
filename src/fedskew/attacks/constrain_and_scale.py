"""Constrain-and-scale: adversaries that pay for the distance from the global model while they train."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.model_replacement import scaled
from fedskew.attacks.wrapping import changed, inner_attack, training
from fedskew.config import Component
from fedskew.portable import norm
from fedskew.protocols import Attack, DatasetInfo, LocalObjective, LocalView


def constrain_and_scale(
    info: DatasetInfo,
    *,
    of: Component,
    alpha: Annotated[float, Field(ge=0, le=1)],
    factor: Annotated[float, Field(gt=0)] = 1.0,
) -> Attack:
    """The adversaries of ``of`` pay for their distance from the start while they train, and scale what they send.

    Formula: minimise alpha * loss(w) + (1 - alpha) * ||w - start||_2;
    delta <- factor * delta

    The gradient of the distance is (w - start) / ||w - start||, and 0 at the start. Both published programs set alpha
    to 1, which switches the constraint off; hence there is no default. The distance is that of the authors' code. To
    scale to a norm, or by the factor that replaces the model, wrap it in ``train-and-scale`` or ``model-replacement``.
    Around an attack whose adversaries send nothing of their own training (``ipm``, ``mimic`` and the like) the factor
    alone would be left, so an alpha below 1 is refused when the config is read; ``model-replacement`` has a factor too.

    Args:
        of: the attack whose adversaries train so.
        alpha: the weight of their own loss; 1 for no constraint.
        factor: of the updates; 1 for none.

    Reference: Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020 (constrain-and-scale).

    >>> from fedskew import craft
    >>> craft("constrain-and-scale", [[1.0, 0.0]], of="none", alpha=0.5, factor=3.0)
    tensor([[3., 0.]])
    """

    def change(attack: Attack) -> Attack:
        return scaled(attack if alpha == 1 else training(attack, constraint(alpha)), factor)

    return changed(inner_attack(of, info), change)


def constraint(alpha: float) -> LocalObjective:
    """g <- alpha * g + (1 - alpha) * (w - start) / ||w - start||."""

    def add(gradient: Tensor, view: LocalView) -> None:
        moved = view.weights - view.start
        length = norm(moved.double())[..., None]
        pull = torch.where(length > 0, (1 - alpha) / length, 0.0).to(moved.dtype)
        gradient.mul_(alpha).add_(moved.mul_(pull))

    return LocalObjective(add=add)
