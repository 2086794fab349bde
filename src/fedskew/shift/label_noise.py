"""Concept shift: each client gives a share of its images a wrong label."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.protocols import ClientShift, Rng, ShiftView
from fedskew.rounding import whole


def label_noise(view: ShiftView, rng: Rng, *, rate: Annotated[float, Field(ge=0, le=1)]) -> ClientShift:
    """A share of a client's training images has another label, drawn uniformly; images stay as they are.

    Formula: r_k ~ U(0, rate);
    floor(r_k n_k) of the client's n_k images, drawn uniformly: y' uniformly one of the C - 1 other classes

    Labels of images on which clients are measured stay as they are.

    Args:
        rate: the largest share, 0 to 1.

    Raises:
        ConfigError: the data has one class only.

    Reference: Xu et al., "FedCorr: Multi-Stage Federated Learning for Label Noise Correction", CVPR 2022 (with rho = 1
    and tau = 0, where a wrong label may be the right one by chance).
    """
    classes = view.info.num_classes
    if classes < 2:
        raise ConfigError(f"clients.shift = 'label-noise': {view.info.name!r} has no other class to take")
    share = rate * float(rng.random())

    def wrong(labels: Tensor, draws: Rng) -> Tensor:
        picked = torch.from_numpy(draws.permutation(len(labels))[: whole(share * len(labels))])
        moved = labels.clone()
        moved[picked] += torch.from_numpy(draws.integers(1, classes, len(picked)))
        return moved % classes

    return ClientShift(labels=wrong, values={"rate": share})
