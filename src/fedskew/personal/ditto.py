"""Ditto: personal models that are pulled towards the global one (Li et al. 2021)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.protocols import LocalObjective, LocalView, PersonalModel


def ditto(
    *, strength: Annotated[float, Field(ge=0)], epochs: Annotated[int, Field(ge=1)] | None = None
) -> PersonalModel:
    """Each client keeps a model of its own, which is pulled towards the global one.

    Formula: v_k minimises loss(v_k) + lambda/2 * ||v_k - w_t||^2; gradient <- gradient + lambda * (v_k - w_t)

    In each round in which client k takes part, v_k takes the steps of local training from where it was; before the
    client's first round v_k is w_0, the model before all training. Since the global model is trained without it, the
    global run is the one without Ditto, whatever lambda. lambda = 0 gives purely local models, a large one the global
    model of the client's last round.

    With plain SGD a step takes v_k - w_t times 1 - lr * lambda, beside what the loss does: with lr * lambda above 2 it
    grows in every step, and a client whose v_k is no longer finite begins again from w_0. Adam divides the pull by the
    size of the whole gradient: lambda weighs the pull against the loss, but with no lambda does v_k move by much more
    than lr in a step.

    Args:
        strength: lambda (a word that Python does not let an option have), at least 0. The paper's clients choose from
            0.1, 1 and 2 by their validation data, under strong attacks from 0.05, 0.1 and 0.2.
        epochs: over the client's data in a round; None for those of its local training.

    w_t is that of the round's start, as in the paper. The authors' code takes the steps of both models in turn on the
    same batches; here v_k has batches of its own.

    Reference: Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021 (arXiv
    2012.04221), Algorithm 1.

    >>> import torch
    >>> gradient = torch.tensor([1.0, 1.0])
    >>> view = LocalView(torch.tensor([3.0, 0.0]), torch.zeros(2), {"global": torch.tensor([1.0, 2.0])}, {}, lr=0.1)
    >>> ditto(strength=0.5).objective.add(gradient, view)
    >>> gradient
    tensor([2., 0.])
    """
    if strength == 0:
        return PersonalModel(epochs, lasting=True)

    def add(gradient: Tensor, view: LocalView) -> None:
        # Not add_(..., alpha=strength), which is fused into one rounding on some processors.
        gradient.add_((view.weights - view.sent["global"]).mul_(strength))

    return PersonalModel(epochs, LocalObjective(add=add), lasting=True)
