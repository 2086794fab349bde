"""Directions compared with the gradients of single records: a tool of privacy attackers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from fedskew.protocols import DatasetInfo
from fedskew.training.engine import one_thread
from fedskew.training.inputs import Normalise

MOST = 64
"""Records whose gradients are held at the same time, at most."""
MOST_BYTES = 2**28
"""That these gradients take, at most, if there are two or more of them."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(weights [P], pixels [channels, height, width], label) -> the loss."""


def cosines(
    module: nn.Module,
    info: DatasetInfo,
    buffers: Tensor,
    weights: Tensor,
    directions: Tensor,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """See ``PrivacyView.cosines``; in evaluation mode, without dropout.

    Args:
        module: of the run's architecture, on the weights' device; it is not changed.
        buffers: float32 [B], its running averages.
    """
    loss, device = _loss_of(module, buffers), weights.device
    normalise, towards = Normalise(info, device), functional.normalize(directions, dim=1)
    together = max(1, min(MOST, MOST_BYTES // max(1, weights.nbytes)))
    found = []
    with one_thread():
        for part, truth in zip(torch.split(images, together), torch.split(labels, together), strict=True):
            gradients = each_gradient(loss, weights, normalise(part.to(device)), truth.to(device))
            found.append(-(towards @ functional.normalize(gradients, dim=1).T).cpu())
    return torch.cat(found, dim=1)


def each_gradient(loss: Loss, weights: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
    """float32 [n, P], the gradient of each record's loss.

    A model that looks at values while it computes (``item``, an ``if`` on a tensor) cannot do it for many records at
    once, and does it for one after the other.
    """
    try:
        found: Tensor = vmap(grad(loss), in_dims=(None, 0, 0))(weights, pixels, labels)
    except RuntimeError:  # which says why it cannot, if something else is wrong, when it is tried alone
        return torch.stack(
            [one_gradient(loss, weights, own, label) for own, label in zip(pixels, labels, strict=True)]
        )
    return found


def one_gradient(loss: Loss, weights: Tensor, pixels: Tensor, label: Tensor) -> Tensor:
    """float32 [P], the gradient of one record's loss."""
    own = weights.detach().clone().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(loss(own, pixels, label), own)
    return found


def _loss_of(module: nn.Module, buffers: Tensor) -> Loss:
    """The loss of one record as a function of flat weights, with these running averages."""
    shapes = [(name, p.shape) for name, p in module.named_parameters()]
    kept = dict(module.named_buffers())
    parts = torch.split(buffers, [b.numel() for b in kept.values()])
    fixed = {
        name: (part if b.is_floating_point() else part.round()).view_as(b).to(b.dtype)
        for (name, b), part in zip(kept.items(), parts, strict=True)
    }

    def loss(weights: Tensor, pixels: Tensor, label: Tensor) -> Tensor:
        cut = torch.split(weights, [shape.numel() for _, shape in shapes])
        named = {name: part.view(shape) for (name, shape), part in zip(shapes, cut, strict=True)}
        logits: Tensor = functional_call(module, {**named, **fixed}, (pixels[None],))
        return functional.cross_entropy(logits, label[None])

    return loss
