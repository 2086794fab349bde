"""FedBN: every client keeps its normalisation layers for itself (Li et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedskew.protocols import PersonalModel

NORMALISING = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
"""Batch and instance normalisation have a common base; these are all that PyTorch has with weights."""


def fedbn() -> PersonalModel:
    """Clients share all layers but those that normalise; each has its own of these, running averages included.

    Formula: v_k = the global weights, with client k's own normalisation layers in their place

    Unlike other personal models this changes the global run: a client trains from v_k, not from the global model. Its
    own layers are aggregated as all others are, and no client takes them back; so the global model has the mean of the
    clients' layers there, and can be measured although nobody uses it. The server of the paper never gets them: rules
    that compare or clip whole updates see more here. What is FedBN's own are the metrics of personal models. A client
    that has not taken part yet uses the global model. Adversaries start from the global model.

    With group or layer normalisation the scale and shift are kept; the paper is about batch normalisation, whose
    averages differ where clients' images do (feature skew). Under label skew alone less is to be expected.

    Reference: Li, Jiang, Zhang, Kamp & Dou, "FedBN: Federated Learning on Non-IID Features via Local Batch
    Normalization", ICLR 2021 (arXiv 2102.07623), Algorithm 1.

    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    >>> fedbn().own(layers)
    tensor([False, False, False,  True,  True])
    """
    return PersonalModel(epochs=0, own=normalising)


def normalising(module: nn.Module) -> Tensor:
    """bool [P]: the weights of normalisation layers."""
    theirs = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, layer in module.named_modules()
        if isinstance(layer, NORMALISING)
        for name, _ in layer.named_parameters(recurse=False)
    }
    parts = [torch.full((p.numel(),), name in theirs) for name, p in module.named_parameters()]
    return torch.cat(parts)
