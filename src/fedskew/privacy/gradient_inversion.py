"""Gradient inversion: the images behind an update of one step. A demonstration by itself; no run uses it.

An update of one step of plain SGD is -lr times the mean gradient of the images, and all that is used here is the
direction of minus the update. So nobody needs to know the learning rate; after several steps, or with Adam, the
direction is no gradient's any more, and what is found becomes worse.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedskew.errors import ConfigError
from fedskew.models.build import layout_of
from fedskew.protocols import DatasetInfo
from fedskew.seeding import stream


def invert(
    module: nn.Module,
    info: DatasetInfo,
    delta: Tensor,
    labels: Tensor | None = None,
    *,
    steps: int = 1000,
    step_size: float = 0.1,
    variation: float = 1e-3,
    restarts: int = 1,
    seed: int = 0,
) -> Tensor:
    """Images whose gradient points against an update, float [n, channels, height, width] in 0 .. 1 (pixel / 255).

    Formula: argmin over x of 1 - cos(grad l(x, y; w_t), -delta) + variation * TV(x), by Adam on the sign of the
        gradient from random images, cut to 0 .. 1 after each step; TV(x) is the mean absolute difference of neighbours

    It has local minima, the more of them the less smooth the model: ReLU with max-pooling is hard, a fully connected
    model easy.

    Args:
        module: the model with the weights w_t, in the mode in which the client trained it, without dropout; unchanged.
        delta: [P], local minus global weights.
        labels: int64 [n], of the images in any order; unless given, there is one image and ``label`` finds its label.
            Counts [C] of the classes become labels by ``torch.arange(C).repeat_interleave(counts)``.
        steps: of Adam; the step size is divided by ten after 3/8, 5/8 and 7/8 of them.
        step_size: the first one, in units of the range of a pixel.
        variation: weight of the total variation.
        restarts: attempts from other random images, >= 1; the one with the smallest cosine distance is returned.
        seed: of the random images.

    Raises:
        ConfigError: an update that is 0, not finite or of another model; labels that are no classes; see ``label``.

    Reference: Geiping, Bauermeister, Dröge & Moeller, "Inverting Gradients - How easy is it to break privacy in
    federated learning?", NeurIPS 2020.
    """
    if info.values != "pixels":
        raise ConfigError(
            f"gradient inversion looks for images, and the data set {info.name!r} has {info.values}"
        )
    delta = _checked(module, delta)
    labels = torch.tensor([label(module, info, delta)]) if labels is None else labels
    if labels.ndim != 1 or not len(labels) or not ((labels >= 0) & (labels < info.num_classes)).all():
        raise ConfigError(f"labels must be at least one class in 0 .. {info.num_classes - 1}", field="labels")
    model = copy.deepcopy(module).requires_grad_(True)  # a pass in training mode may change its buffers
    mean, std = _statistics(info, delta)
    labels = labels.to(delta.device)
    direction = -delta / delta.norm()

    def distance(images: Tensor) -> Tensor:
        loss = functional.cross_entropy(model((images - mean) / std), labels)
        parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        gradient = torch.cat([part.flatten() for part in parts])
        return 1 - functional.cosine_similarity(gradient, direction, dim=0)

    def objective(images: Tensor) -> Tensor:
        rough = images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()
        return distance(images) + variation * rough

    found = []
    for restart in range(restarts):
        drawn = stream(seed, "gradient inversion", restart).random((len(labels), *info.image_shape))
        images = _descend(objective, torch.from_numpy(drawn).to(delta), steps, step_size)
        found.append((float(distance(images).detach()), images))
    return min(found, key=lambda attempt: attempt[0])[1]


def label(module: nn.Module, info: DatasetInfo, delta: Tensor) -> int:
    """The label of the single image of an update: the only class whose output bias the update raises.

    Formula: delta_b = -lr (softmax(logits) - onehot(y)), positive at y alone

    Raises:
        ConfigError: the model has no output bias at its end, or not exactly one class's is raised.

    Reference: Zhao, Mopuri & Bilen, "iDLG: Improved Deep Leakage from Gradients", 2020.
    """
    layout, delta = layout_of(module), _checked(module, delta)
    if layout.shapes[-1] != (info.num_classes,):
        raise ConfigError(
            f"the model's last parameter, {layout.names[-1]}, is no output bias", "give the labels", "labels"
        )
    raised = (delta[-info.num_classes :] > 0).nonzero().flatten().tolist()
    if len(raised) != 1:
        raise ConfigError(
            f"the update raises the output bias of {len(raised)} classes; one step on one image raises that of one",
            "give the labels",
            "labels",
        )
    return int(raised[0])


def first_layer_input(module: nn.Module, info: DatasetInfo, delta: Tensor) -> Tensor:
    """The single image of an update of a model that begins with a linear layer, exactly up to rounding.

    Formula: dl/dW_i = dl/db_i x for each unit i, so x = sum_i db_i dW_i / sum_i db_i^2

    Returns:
        float [1, channels, height, width] in 0 .. 1. After several images of one step it is a mixture of them.

    Raises:
        ConfigError: the first layer with weights is no linear layer on the pixels with a bias, or the update leaves
            this bias as it was.

    Reference: Geiping et al. 2020, as for ``invert``.
    """
    delta = _checked(module, delta)
    first = next(layer for layer in module.modules() if any(True for _ in layer.parameters(recurse=False)))
    pixels = torch.Size(info.image_shape).numel()
    if not isinstance(first, nn.Linear) or first.bias is None or first.in_features != pixels:
        raise ConfigError(f"the model begins with {first}, not with a linear layer on the pixels with a bias")
    size, units = first.weight.numel(), first.out_features
    weights, bias = delta[:size].view(units, pixels).double(), delta[size : size + units].double()
    if not bias.any():
        raise ConfigError("the update leaves the bias of the first layer as it was", field="delta")
    seen = (bias @ weights / (bias @ bias)).view(1, *info.image_shape)
    mean, std = _statistics(info, seen)
    return (seen * std + mean).clamp(0, 1).to(delta.dtype)


def _descend(objective: Callable[[Tensor], Tensor], images: Tensor, steps: int, step_size: float) -> Tensor:
    images.requires_grad_(True)
    optimiser = torch.optim.Adam([images], lr=step_size)
    falls = [steps * eighths // 8 for eighths in (3, 5, 7)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, falls, gamma=0.1)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(objective(images), images)
        images.grad = gradient.sign()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            images.clamp_(0, 1)
    return images.detach()


def _statistics(info: DatasetInfo, like: Tensor) -> list[Tensor]:
    """Mean and standard deviation of the channels, each [channels, 1, 1]."""
    return [like.new_tensor(part)[:, None, None] for part in (info.mean, info.std)]


def _checked(module: nn.Module, delta: Tensor) -> Tensor:
    """The update where the model is, in its format."""
    like = next(module.parameters())
    total = layout_of(module).total
    if delta.shape != (total,) or not delta.isfinite().all() or not delta.any():
        raise ConfigError(
            f"delta must be {total} finite numbers, one per parameter of the model, that are not all 0",
            field="delta",
        )
    return delta.detach().to(like)
