"""Models with initial weights from a seed, and the layout of their parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from fedskew.protocols import DatasetInfo, ParameterLayout
from fedskew.seeding import stream_seed, torch_seeded


def fresh(factory: Callable[[DatasetInfo], nn.Module], info: DatasetInfo, seed: int) -> nn.Module:
    """A model with initial weights that depend on the seed alone.

    Built on the CPU whatever the device, since generators of different devices draw different numbers.
    """
    with torch_seeded(stream_seed(seed, "model")):
        return factory(info)


def layout_of(module: nn.Module) -> ParameterLayout:
    """Names and shapes of a module's parameters, in the order of the flat weight vector."""
    named = list(module.named_parameters())
    return ParameterLayout(tuple(n for n, _ in named), tuple(tuple(p.shape) for _, p in named))


def notes_inputs(module: nn.Module, info: DatasetInfo) -> bool:
    """Whether a model keeps something of the images that it is trained on besides its weights: running averages."""
    probe = copy.deepcopy(module).train()
    before = [buffer.clone() for buffer in probe.buffers()]
    with torch_seeded(0), torch.no_grad():
        probe(info.inputs(2, 1))
    return any(not torch.equal(old, new) for old, new in zip(before, probe.buffers(), strict=True))
