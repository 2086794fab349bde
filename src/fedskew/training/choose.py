"""Which engine serves a model on a device, and why: decided by the measurements of ``benchmarks/``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedskew.config import EngineName, Precision, Training
from fedskew.errors import ConfigError
from fedskew.protocols import DatasetInfo
from fedskew.training.arithmetic import TorchArithmetic, all_buffers, flatten
from fedskew.training.determinism import unrepeatable
from fedskew.training.engine import Engine
from fedskew.training.native import NativeArithmetic, NativeModel, Unsupported, build, compiler, step
from fedskew.training.native.plan import Map, Plan, make_plan
from fedskew.training.native.work import work_of_a_step
from fedskew.training.resident import ModuleArithmetic, ResidentEngine, StackedArithmetic
from fedskew.training.resident.arithmetic import BatchedArithmetic
from fedskew.training.threads import ThreadedEngine


@dataclass(frozen=True)
class Choice:
    """An engine that was chosen.

    Attributes:
        build: (threads) -> the engine.
        reason: why this one, in a few words.
        compiled: with which compiler and flags its own code was built; empty if it has none.
    """

    build: Callable[[int], Engine]
    reason: str
    compiled: str = ""


STACK_BELOW = 3e8
"""Floating-point operations of a client's step, below which all clients' steps are one on a GPU: on an H100 the MLP's
(7e5) are four times as fast then, LeNet's (6e8) a fifth slower, the 6-layer CNN's (3e10) three times as slow
(docs/performance.md)."""

_NOT_PIXELS = "features are not pixels"

THREADS_FROM = 4e6
"""Floating-point operations of a step, from which clients are trained on several CPU threads: below that, threads wait
for the interpreter more than they compute (docs/performance.md)."""


def choose(
    module: nn.Module,
    info: DatasetInfo,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    engine: EngineName = "auto",
    training: Training | None = None,
) -> Choice:
    """The engine for a model.

    Args:
        images, labels: the population's, [M, channels, height, width] in the type of the data set, and int64 [M].
        engine: ``"auto"`` to choose, or the engine to take.
        training: its number format and usual batch size; how each client trains is in its recipe.

    Raises:
        ConfigError: an engine is asked for that cannot serve the model; says why.
    """
    training = training or Training()
    images, labels = (one.to(device).contiguous() for one in (images, labels))  # once, for all threads
    number_format, batch = training.precision, training.batch_size

    def with_torch(workers: int) -> Engine:
        # One thread on a GPU: the precision of products is a setting of the whole process there.
        return ThreadedEngine(
            lambda: TorchArithmetic(module, info, images, labels, device, number_format),
            workers if device.type == "cpu" else 1,
        )

    def with_native(workers: int) -> Engine:
        def make() -> NativeArithmetic:
            half = number_format == "bfloat16"
            return NativeArithmetic(
                build(module, info.image_shape, info.mean, info.std, half=half), images, labels
            )

        return ThreadedEngine(make, workers if work_of_a_step(plan, batch) >= THREADS_FROM else 1)

    def resident(arithmetic: BatchedArithmetic) -> Callable[[int], Engine]:
        return lambda workers: ResidentEngine(arithmetic, images, labels, number_format)

    def with_stacked() -> Callable[[int], Engine]:
        return resident(StackedArithmetic(plan, info, batch, device))

    def with_graph() -> Callable[[int], Engine]:
        coarse = device.type == "cuda" and number_format != "float32"
        return resident(ModuleArithmetic(module, info, device, channels_last=coarse))

    plan, unserved = _planned(module, info)
    if engine == "torch":
        return Choice(with_torch, "asked for")
    if engine == "graph" or (device.type == "cuda" and unserved and engine == "auto"):
        if TorchArithmetic(module, info, images, labels, device).draws_elsewhere:
            why = "the model draws from PyTorch's global generator"
            if engine == "graph":
                raise ConfigError(f"engine 'graph' cannot serve this model: {why}")
            return Choice(with_torch, why)
        why = "asked for" if engine == "graph" else f"any model on {device}"
        return Choice(with_graph(), why + _caveat(module, info, device))
    if engine == "stacked":
        if unserved:
            raise ConfigError(f"engine 'stacked' cannot serve this model: {unserved}")
        return Choice(with_stacked(), "asked for")
    if device.type == "cuda" and engine == "auto":
        if work_of_a_step(plan, batch) < STACK_BELOW:
            return Choice(with_stacked(), f"a small sequential model on {device}")
        return Choice(with_graph(), f"a large model on {device}")
    kernels, why = (None, unserved) if unserved else _kernels(module, info, device, number_format)
    if kernels is None and engine == "native":
        raise ConfigError(f"engine 'native' cannot serve this model: {why}")
    if kernels is None:
        return Choice(with_torch, f"native kernels cannot serve this model: {why}")
    served = f"native kernels serve this model: {kernels.described()}{_target()}"
    return Choice(with_native, served, compiler.described())


def _target() -> str:
    """What to say of kernels that are not built for the processor they run on."""
    return f"; built for {compiler.target()}" if compiler.target() else ""


def _kernels(
    module: nn.Module, info: DatasetInfo, device: torch.device, number_format: Precision
) -> tuple[NativeModel | None, str]:
    """Kernels for a model whose layers they know, or why they cannot train it; then cached for all threads."""
    if device.type != "cpu":
        return None, f"they work on the CPU, not on {device}"
    if info.values != "pixels":  # they look each of the 256 values of a pixel up in a table
        return None, _NOT_PIXELS
    half = number_format == "bfloat16"
    try:
        model = build(module, info.image_shape, info.mean, info.std, half=half)
        step.load()
    except Unsupported as why:
        return None, str(why)
    lacking = model.why_not_half() if half else ""
    return (None, lacking) if lacking else (model, "")


def _caveat(module: nn.Module, info: DatasetInfo, device: torch.device) -> str:
    """A note for a module on CUDA whose repeats may differ; "" if they do not."""
    if device.type != "cuda":
        return ""
    arithmetic = TorchArithmetic(module, info, *_two_images(info, device), device)
    weights, buffers = flatten(list(module.parameters())), flatten(all_buffers(module))
    weights, buffers = weights.to(device), buffers.to(device)
    both = torch.arange(2, device=device)

    def step() -> None:
        arithmetic.loss_and_gradient(weights, buffers, torch.zeros_like(weights), both, 0)

    names = unrepeatable(step)
    return f"; repeats may differ in the last bits: {', '.join(names)}" if names else ""


def _two_images(info: DatasetInfo, device: torch.device) -> tuple[Tensor, Tensor]:
    images = torch.zeros(2, *info.image_shape, dtype=info.dtype, device=device)
    return images, torch.zeros(2, dtype=torch.int64, device=device)


def _planned(module: nn.Module, info: DatasetInfo) -> tuple[Plan, str]:
    """The layers of a sequential model, or why it cannot be served."""
    if info.values == "tokens":  # no layer that is known takes whole numbers
        return Plan(Map(*info.image_shape), (), 0, 0), _NOT_PIXELS
    try:
        return make_plan(module, info.image_shape), ""
    except Unsupported as why:
        return Plan(Map(*info.image_shape), (), 0, 0), str(why)
