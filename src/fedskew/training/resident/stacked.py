"""Forward and backward pass of R clients' copies of one sequential model at once, their weights a leading axis.

A convolution gathers its windows into columns and is one batched matrix product over clients: a grouped convolution
with one group per client would give the same, but libraries have no fast backward pass for few channels per group. Maps
are [R, channels, batch, height, width] (channels before the batch), so that the product's result is the next map.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from fedskew.protocols import DatasetInfo
from fedskew.training.inputs import Normalise
from fedskew.training.native.plan import Conv, Dropout, Linear, Plan, Pool, Relu
from fedskew.training.resident.dropout import dropout_mask

MEMORY = 4 * 2**30
"""Bytes of activations and columns of one step; more clients than fit are trained group after group."""


class StackedArithmetic:
    """Gradients of R clients at once.

    Args:
        plan: what the model computes, as the native kernels read the module.
        batch: the usual batch size, which with ``MEMORY`` says how many clients go together.
    """

    name = "stacked"
    pads = True
    frozen: Tensor | None = None

    def __init__(self, plan: Plan, info: DatasetInfo, batch: int, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.dropouts = 1 + max((x.number for x in plan.layers if isinstance(x, Dropout)), default=-1)
        layers = [x for x in plan.layers if isinstance(x, Conv | Linear)]
        self._offsets = sorted(at for x in layers for at in (x.weight, x.bias) if at is not None)
        self._sizes = [end - begin for begin, end in pairwise([*self._offsets, plan.num_parameters])]
        self.normalise = Normalise(info, device)
        self._batch = batch

    def rows(self, batch: int) -> int:
        """See ``BatchedArithmetic``."""
        # Each activation is kept for the backward pass, with its gradient.
        return max(1, int(MEMORY // (8 * max(batch, self._batch) * _floats_per_image(self.plan))))

    def gradients(
        self,
        weights: Tensor,
        buffers: Tensor,
        gradients: Tensor,
        images: Tensor,
        labels: Tensor,
        counts: Tensor,
        keys: Tensor,
        maps: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See ``BatchedArithmetic``."""
        leaf = weights.detach().requires_grad_()
        logits = self.forward(leaf, images, keys).float()
        if maps is not None:
            logits = torch.addcmul(maps[:, 1, None], logits, maps[:, 0, None])
        rows, batch, classes = logits.shape
        losses = functional.cross_entropy(logits.reshape(-1, classes), labels.reshape(-1), reduction="none")
        counted = torch.arange(batch, device=self.device) < counts[:, None]
        sums = losses.view(rows, batch).where(counted, 0.0).sum(dim=1)
        # The rows are independent, so the gradient of the sum of their means holds each row's own.
        (found,) = torch.autograd.grad((sums / counts.clamp(min=1)).sum(), leaf)
        gradients.copy_(found)
        hits = ((logits.detach().argmax(dim=2) == labels) & counted).sum(dim=1)
        return sums.detach(), hits

    def logits(self, weights: Tensor, buffers: Tensor, images: Tensor) -> Tensor:
        """See ``BatchedArithmetic``."""
        return self.forward(weights[None], images[None], None)[0]

    def forward(self, weights: Tensor, images: Tensor, keys: Tensor | None) -> Tensor:
        """Logits [R, batch, C] of weights [R, P] on uint8 images [R, batch, ...]; with dropout if there are keys."""
        # One torch.split for all layers, whose backward pass is one concatenation.
        tensors = dict(zip(self._offsets, torch.split(weights, self._sizes, dim=1), strict=True))
        x = self.normalise(images).transpose(1, 2)
        for layer in self.plan.layers:
            match layer:
                case Conv():
                    x = _pooled(_convolved(x, tensors, layer), layer.pool)
                    x = x.relu() if layer.relu else x
                case Linear():
                    x = _linear(x, tensors, layer)
                    x = x.relu() if layer.relu else x
                case Pool():
                    x = _pooled(x, layer.pool)
                case Relu():
                    x = x.relu()
                case Dropout():
                    x = x if keys is None else x * _mask(x, keys, layer)
        return x.reshape(*x.shape[:3]).transpose(1, 2)


def _convolved(x: Tensor, tensors: Mapping[int, Tensor], layer: Conv) -> Tensor:
    """[R, channels, batch, height, width] -> the same with the layer's channels, before its pooling and ReLU."""
    rows, channels, batch = x.shape[:3]
    (kh, kw), (ph, pw) = layer.kernel, layer.padding
    kernel = tensors[layer.weight].reshape(rows, layer.target.channels, -1)
    windows = functional.pad(x, (pw, pw, ph, ph)).unfold(3, kh, 1).unfold(4, kw, 1)
    height, width = windows.shape[3:5]
    columns = windows.permute(0, 1, 5, 6, 2, 3, 4).reshape(rows, channels * kh * kw, -1)
    if layer.bias is None:
        out = torch.bmm(kernel, columns)
    else:
        out = torch.baddbmm(tensors[layer.bias][:, :, None], kernel, columns)
    return out.view(rows, layer.target.channels, batch, height, width)


def _pooled(x: Tensor, pool: tuple[int, int]) -> Tensor:
    if pool == (1, 1):
        return x
    out = functional.max_pool2d(x.flatten(0, 1), pool)
    return out.view(*x.shape[:2], *out.shape[1:])


def _linear(x: Tensor, tensors: Mapping[int, Tensor], layer: Linear) -> Tensor:
    """[R, features, batch, height, width] in torch's order of units -> [R, outputs, batch, 1, 1]."""
    rows, batch = x.shape[0], x.shape[2]
    outputs, inputs = layer.target.units, layer.source.units
    matrix = tensors[layer.weight].reshape(rows, outputs, inputs)
    flat = x.transpose(2, 1).reshape(rows, batch, inputs).transpose(1, 2)
    if layer.bias is None:
        out = torch.bmm(matrix, flat)
    else:
        out = torch.baddbmm(tensors[layer.bias][:, :, None], matrix, flat)
    return out.view(rows, outputs, batch, 1, 1)


def _mask(x: Tensor, keys: Tensor, layer: Dropout) -> Tensor:
    rows, channels, batch, height, width = x.shape
    mask = dropout_mask(keys[:, layer.number, :batch], channels * height * width, layer.p)
    return mask.view(rows, batch, channels, height, width).transpose(1, 2).to(x.dtype)


def _floats_per_image(plan: Plan) -> int:
    """Columns, products and pooled maps of one image, as far as they count."""
    total = plan.image.units
    for layer in plan.layers:
        if isinstance(layer, Conv):
            places = (layer.source.height + 2 * layer.padding[0] - layer.kernel[0] + 1) * (
                layer.source.width + 2 * layer.padding[1] - layer.kernel[1] + 1
            )
            taps = layer.source.channels * layer.kernel[0] * layer.kernel[1]
            total += places * (taps + layer.target.channels) + layer.target.units
        elif isinstance(layer, Linear):
            total += layer.source.units + layer.target.units
    return total
