"""What engines differ in: how the loss and the gradient of a mini-batch and the optimiser's step are computed.

An ``Arithmetic`` works on flat vectors: weights [P], buffers [B] (what a module keeps besides its
parameters, such as running means), gradient [P]. ``TorchArithmetic`` serves any ``nn.Module`` with autograd.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedskew.config import SGD, Adam, Precision
from fedskew.protocols import DatasetInfo, Predictions, State
from fedskew.seeding import torch_seeded
from fedskew.training.inputs import Normalise
from fedskew.training.optimizers import Step, make_step
from fedskew.training.precision import precision

_STEP = 0x9E3779B97F4A7C15  # odd, so that the seeds of a client's steps are distinct modulo 2**64


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's draws, in 0 .. 2**63 - 1."""
    return ((seed + step * _STEP) % 2**64) >> 1


def step_seeds(seed: int, steps: int) -> npt.NDArray[np.int64]:
    """``step_seed`` of steps 0, 1, ..."""
    with np.errstate(over="ignore"):
        all_bits = np.uint64(seed) + np.arange(steps, dtype=np.uint64) * np.uint64(_STEP)
    return (all_bits >> np.uint64(1)).astype(np.int64)


def frozen_entries(module: nn.Module) -> Tensor | None:
    """bool [P]: the weights that training must not move; None if there are none."""
    parameters = list(module.parameters())
    if all(p.requires_grad for p in parameters):
        return None
    return torch.cat([torch.full((p.numel(),), not p.requires_grad) for p in parameters])


class Arithmetic(Protocol):
    """Loss, gradient and optimiser steps of one model; not shared between threads.

    Attributes:
        frozen: bool [P], the weights that stay as the server sent them; None if there are none.
    """

    name: str
    frozen: Tensor | None

    def loss_and_gradient(
        self,
        weights: Tensor,
        buffers: Tensor,
        gradient: Tensor,
        indices: Tensor,
        seed: int,
        logit_map: Tensor | None = None,
    ) -> tuple[Tensor | float, Tensor | int]:
        """Writes the gradient of the mean loss over the batch into ``gradient``, updates ``buffers`` in place.

        Args:
            indices: int64 [b], positions in the training images.
            seed: of the dropout masks.
            logit_map: float32 [2, C], on the device; loss and predictions are those of map[0] * logits + map[1].

        Returns:
            The sum of the losses over the batch, and the number of correct predictions.
        """

    def make_step(self, settings: Adam | SGD, lr: float, state: State) -> Step:
        """The step of one client's optimiser; see ``optimizers.make_step``."""

    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        """Predictions in evaluation mode on images [n, channels, height, width] in the type of the data set."""


class SeededDropout(nn.Module):
    """Inverted dropout whose mask comes from its own generator, so that threads do not share one."""

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__()
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        """x with entries zeroed with probability p and the rest scaled by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * keep.div_(1 - self.p)


def _seed_dropout(module: nn.Module, generator: torch.Generator) -> nn.Module:
    if type(module) is nn.Dropout:
        return SeededDropout(module.p, generator)
    for name, child in module.named_children():
        setattr(module, name, _seed_dropout(child, generator))
    return module


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """One float32 vector of all of them, in order."""
    parts = [t.detach().reshape(-1).float() for t in tensors]
    return torch.cat(parts) if parts else torch.zeros(0)


def all_buffers(module: nn.Module) -> list[Tensor]:
    """Everything a module keeps besides its parameters, counters included: none of it may stay in a thread."""
    return list(module.buffers())


class TorchArithmetic:
    """Autograd over any module. Parameters, gradients and buffers are views of flat vectors, so that copying,
    subtracting and stepping a whole model is one operation.

    Args:
        module: copied, not changed.
        images, labels: the population's training images, in the type of the data set, and labels, on ``device``.
        number_format: of the products in training.
    """

    name = "torch"

    def __init__(
        self,
        module: nn.Module,
        info: DatasetInfo,
        images: Tensor,
        labels: Tensor,
        device: torch.device,
        number_format: Precision = "float32",
    ) -> None:
        self.device, self.images, self.labels = device, images, labels
        self.precision: Precision = number_format
        frozen = frozen_entries(module)
        self.frozen = None if frozen is None else frozen.to(device)
        self._generator = torch.Generator(device)
        self.module = _seed_dropout(copy.deepcopy(module), self._generator).to(device)
        self._normalised = Normalise(info, device)
        parameters = list(self.module.parameters())
        self._weights = flatten(parameters).to(device)
        self._gradient = torch.zeros_like(self._weights)
        offsets = [0, *accumulate(p.numel() for p in parameters)]
        for parameter, start in zip(parameters, offsets, strict=False):
            end = start + parameter.numel()
            parameter.data = self._weights[start:end].view_as(parameter)
            parameter.grad = self._gradient[start:end].view_as(parameter)
        self._buffers = all_buffers(self.module)
        self.draws_elsewhere = self._draws_elsewhere(info)

    def _draws_elsewhere(self, info: DatasetInfo) -> bool:
        """Whether the module draws from PyTorch's global generator (functional dropout, say), in training or not."""
        probe = info.inputs(2).to(self.device)
        saved = [b.clone() for b in self.module.buffers()]
        with torch_seeded(0, self.device), torch.no_grad():
            before = self._random_state()
            self.module.eval()(probe)
            self.module.train()(probe)
            drawn = not torch.equal(before, self._random_state())
        for buffer, value in zip(self.module.buffers(), saved, strict=True):
            buffer.copy_(value)
        return drawn

    def _random_state(self) -> Tensor:
        on_gpu = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return torch.cat([torch.get_rng_state(), *on_gpu])

    def _load(self, weights: Tensor, buffers: Tensor) -> None:
        self._weights.copy_(weights)
        for buffer, part in zip(
            self._buffers, torch.split(buffers, [b.numel() for b in self._buffers]), strict=True
        ):
            # A mean over clients of a counter need not be whole.
            buffer.copy_((part if buffer.is_floating_point() else part.round()).view_as(buffer))

    def _normalise(self, images: Tensor) -> Tensor:
        x = self._normalised(images)
        # What the CPU's bfloat16 convolutions are made for (docs/performance.md).
        last = self.precision == "bfloat16" and self.device.type == "cpu" and self.module.training
        return x.contiguous(memory_format=torch.channels_last) if last else x

    def loss_and_gradient(
        self,
        weights: Tensor,
        buffers: Tensor,
        gradient: Tensor,
        indices: Tensor,
        seed: int,
        logit_map: Tensor | None = None,
    ) -> tuple[Tensor | float, Tensor | int]:
        """See ``Arithmetic``."""
        if self.draws_elsewhere:
            with torch_seeded(seed, self.device):
                return self._loss_and_gradient(weights, buffers, gradient, indices, seed, logit_map)
        return self._loss_and_gradient(weights, buffers, gradient, indices, seed, logit_map)

    def _loss_and_gradient(
        self,
        weights: Tensor,
        buffers: Tensor,
        gradient: Tensor,
        indices: Tensor,
        seed: int,
        logit_map: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        self._load(weights, buffers)
        self.module.train()
        self._generator.manual_seed(seed)
        self._gradient.zero_()
        indices = indices.to(self.device, non_blocking=True)
        labels = self.labels[indices]
        with precision(self.precision, self.device):
            logits = self.module(self._normalise(self.images[indices])).float()
            if logit_map is not None:
                logits = torch.addcmul(logit_map[1], logits, logit_map[0])
            loss = functional.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
        gradient.copy_(self._gradient)
        if self._buffers:
            buffers.copy_(flatten(self._buffers))
        correct = (logits.detach().argmax(dim=1) == labels).sum()
        return loss.detach() * len(indices), correct

    def make_step(self, settings: Adam | SGD, lr: float, state: State) -> Step:
        """See ``Arithmetic``."""
        return make_step(settings, lr, state)

    @torch.no_grad()
    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        """See ``Arithmetic``; a module that draws does so from the same seed each time."""
        if self.draws_elsewhere:
            with torch_seeded(0, self.device):
                return self._predict(weights, buffers, images, labels)
        return self._predict(weights, buffers, images, labels)

    def _predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        self._load(weights, buffers)
        self.module.eval()
        with precision("float32", self.device):
            logits = self.module(self._normalise(images.to(self.device)))
        losses = functional.cross_entropy(logits, labels.to(self.device), reduction="none")
        return Predictions(logits.argmax(dim=1).cpu(), losses.cpu())
