"""A sequential model with data, the native kernels built for it, and what exact arithmetic would give."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

from fedskew.training.native import NativeModel, build, codegen, convolutions
from fedskew.training.native.plan import Conv
from tolerance import EXACT, HALVED, MAGNIFIED, Rounding, expect, longest_sum

Shape = tuple[int, int, int]


class Case:
    """A model, its data, and the kernels built for it."""

    def __init__(
        self,
        module: nn.Sequential,
        shape: Shape,
        images: int = 40,
        seed: int = 0,
        half: bool = False,
        in_tiles: bool | None = None,
    ) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.module, self.shape, self.half = module, shape, half
        self.mean = tuple(torch.rand(shape[0], generator=rng).tolist())
        self.std = tuple((0.2 + torch.rand(shape[0], generator=rng)).tolist())
        self.weights = parameters_to_vector(module.parameters()).detach().clone()
        self.weights += 0.05 * torch.randn(self.weights.shape, generator=rng)
        self.images = torch.randint(0, 256, (images, *shape), dtype=torch.uint8, generator=rng)
        self.model = build(module, shape, self.mean, self.std, images, half, in_tiles)
        self.labels = torch.randint(0, self.model._plan.num_classes, (images,), generator=rng)
        self.rng = rng

    def batch(self, size: int) -> Tensor:
        return torch.randint(0, len(self.images), (size,), generator=self.rng)

    def run(
        self, indices: Tensor, seed: int = 7, model: NativeModel | None = None
    ) -> tuple[float, int, Tensor]:
        gradient = torch.full_like(self.weights, float("nan"))  # must be overwritten
        arguments = (self.weights, gradient, self.images, self.labels, indices, seed)
        loss, correct = (model or self.model).loss_and_gradient(*arguments)
        return loss, correct, gradient

    def logits(
        self, weights: Tensor, indices: Tensor, seed: int | None, rounding: Rounding = EXACT
    ) -> Tensor:
        """The model in float64; with a seed, dropout with the kernels' masks; without, no dropout."""
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (self.mean, self.std)
        )
        x = rounding.summed((self.images[indices].double() / 255 - mean) / std)
        offset = dropouts = 0
        for leaf in self.module.modules():
            if isinstance(leaf, nn.Sequential):
                continue
            own = []
            for parameter in leaf.parameters():
                own.append(weights[offset : offset + parameter.numel()].view_as(parameter))
                offset += parameter.numel()
            if isinstance(leaf, nn.Dropout):
                if seed is not None and leaf.p > 0:
                    masks = [self.model.dropout_mask(dropouts, seed, i) for i in range(len(indices))]
                    x = x * torch.stack(masks).view_as(x)
                dropouts += 1
            elif isinstance(leaf, nn.Conv2d):
                x = functional.conv2d(x, own[0], own[1] if len(own) > 1 else None, padding=leaf.padding)
            elif isinstance(leaf, nn.Linear):
                x = functional.linear(x, *own)
            else:
                x = leaf(x)
        return x

    def check(self, size: int, seed: int = 7) -> None:
        """One batch against autograd in float64."""
        indices = self.batch(size)
        loss, correct, gradient = self.run(indices, seed)
        shapes = [parameter.shape for parameter in self.module.parameters()]
        parts, factors = self.split(self.weights.double()), self.factors()

        def exact(rounding: Rounding) -> list[Tensor]:
            leaves = [
                rounding.multiplied(part.view(shape), factor).requires_grad_()
                for part, shape, factor in zip(parts, shapes, factors, strict=True)
            ]
            logits = self.logits(torch.cat([leaf.flatten() for leaf in leaves]), indices, seed, rounding)
            losses = rounding.cross_entropy(logits, self.labels[indices])
            gradients = torch.autograd.grad(losses.mean(), leaves)
            hits = (logits.argmax(1) == self.labels[indices]).sum()
            rounded = [rounding.summed(g, factor) for g, factor in zip(gradients, factors, strict=True)]
            return [*rounded, losses.detach().sum(), hits]

        want = expect(exact, longest_sum(self.module, self.shape, size))
        found = [part.view(shape) for part, shape in zip(self.split(gradient), shapes, strict=True)]
        assert want.excess([*found, *torch.tensor([loss, correct], dtype=torch.float64)]) < 1

    def split(self, flat: Tensor) -> tuple[Tensor, ...]:
        """A vector [P], cut at the parameters."""
        return torch.split(flat, [parameter.numel() for parameter in self.module.parameters()])

    def factors(self) -> list[float]:
        """By how much each parameter's layer magnifies rounding: minimal filtering does (``tolerance.MAGNIFIED``)."""
        layers = self.model._plan.layers
        replaceable: Any = codegen  # a test may replace its ``minimal``
        found = {
            layer.weight: layer for layer in layers if isinstance(layer, Conv) and replaceable.minimal(layer)
        }

        def factor(start: int) -> float:
            if start not in found:
                return 1.0
            return HALVED if self.half and convolutions.halved(found[start]) else MAGNIFIED

        sizes = [parameter.numel() for parameter in self.module.parameters()]
        return [factor(start) for start in accumulate(sizes, initial=0)][:-1]
