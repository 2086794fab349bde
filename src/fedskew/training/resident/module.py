"""One client at a time, any ``nn.Module``: autograd over a functional call on rows of the flat weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedskew.protocols import DatasetInfo
from fedskew.training.arithmetic import frozen_entries
from fedskew.training.inputs import Normalise
from fedskew.training.resident.dropout import keyed


class ModuleArithmetic:
    """Gradients of one client.

    Args:
        module: copied, not changed. Must not draw from PyTorch's global generator in training.
        channels_last: whether activations lie so in training, which the convolutions of tensor cores take without
            a copy to and fro; the results differ in rounding alone.
    """

    name = "graph"
    pads = False  # a padded batch would reach a module's batch statistics

    def __init__(
        self, module: nn.Module, info: DatasetInfo, device: torch.device, channels_last: bool = False
    ) -> None:
        self.device = device
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.module, self._dropouts = keyed(copy.deepcopy(module).to(device))
        self.normalise = Normalise(info, device)
        self.dropouts = len(self._dropouts)
        frozen = frozen_entries(module)
        self.frozen = None if frozen is None else frozen.to(device)
        self._parameters = [(n, p.shape) for n, p in self.module.named_parameters()]
        self._buffers = [(n, b.shape, b.dtype) for n, b in self.module.named_buffers()]

    def rows(self, batch: int) -> int:
        """See ``BatchedArithmetic``."""
        return 1

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
        leaf = weights[0].detach().requires_grad_()
        kept = self._named_buffers(buffers[0])
        for dropout in self._dropouts:
            dropout.keys = keys[0]
        self.module.train()
        pixels = self.normalise(images[0]).contiguous(memory_format=self._layout)
        logits = functional_call(self.module, {**self._named(leaf), **kept}, (pixels,)).float()
        if maps is not None:
            logits = torch.addcmul(maps[0, 1], logits, maps[0, 0])
        losses = functional.cross_entropy(logits, labels[0], reduction="sum")
        (found,) = torch.autograd.grad(losses / len(labels[0]), leaf)
        gradients[0].copy_(found)
        if self.frozen is not None:  # what an objective makes of a gradient is not to depend on them
            gradients[0].masked_fill_(self.frozen, 0.0)
        if kept:
            buffers[0].copy_(torch.cat([b.reshape(-1).float() for b in kept.values()]))
        return losses.detach()[None], (logits.detach().argmax(dim=1) == labels[0]).sum()[None]

    def logits(self, weights: Tensor, buffers: Tensor, images: Tensor) -> Tensor:
        """See ``BatchedArithmetic``."""
        self.module.eval()
        named = {**self._named(weights), **self._named_buffers(buffers)}
        found: Tensor = functional_call(self.module, named, (self.normalise(images),))
        return found

    def _named(self, flat: Tensor) -> dict[str, Tensor]:
        parts = torch.split(flat, [shape.numel() for _, shape in self._parameters])
        return {name: part.view(shape) for (name, shape), part in zip(self._parameters, parts, strict=True)}

    def _named_buffers(self, flat: Tensor) -> dict[str, Tensor]:
        parts = torch.split(flat, [shape.numel() for _, shape, _ in self._buffers])
        return {
            # A mean over clients of a counter need not be whole.
            name: (part if dtype.is_floating_point else part.round()).view(shape).to(dtype, copy=True)
            for (name, shape, dtype), part in zip(self._buffers, parts, strict=True)
        }
