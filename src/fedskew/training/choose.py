"""Which arithmetic serves a model on a device: native kernels where they can, autograd everywhere else; and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedskew.errors import ConfigError
from fedskew.execution import EngineName
from fedskew.protocols import DatasetInfo, Predictions
from fedskew.training.arithmetic import Arithmetic, TorchArithmetic
from fedskew.training.native import NativeModel, Unsupported, build


class NativeArithmetic:
    """The native kernels behind the ``Arithmetic`` interface; they have no buffers, so those pass through."""

    name = "native"

    def __init__(self, model: NativeModel, images: Tensor, labels: Tensor) -> None:
        self.model, self.images, self.labels = model, images, labels

    def loss_and_gradient(
        self, weights: Tensor, buffers: Tensor, gradient: Tensor, indices: Tensor, seed: int
    ) -> tuple[Tensor | float, Tensor | int]:
        """See ``Arithmetic``."""
        return self.model.loss_and_gradient(weights, gradient, self.images, self.labels, indices, seed)

    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        """See ``Arithmetic``."""
        losses, classes = self.model.evaluate(weights, images, labels, None)
        return Predictions(classes, losses)


@dataclass(frozen=True)
class Choice:
    """An arithmetic that was chosen.

    Attributes:
        make: makes one; call it once per thread.
        reason: why this one, in a few words.
    """

    make: Callable[[], Arithmetic]
    reason: str


def choose(
    module: nn.Module,
    info: DatasetInfo,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    engine: EngineName = "auto",
) -> Choice:
    """The arithmetic for a model.

    Args:
        images, labels: the population's, uint8 [M, channels, height, width] and int64 [M].
        engine: ``"native"`` and ``"torch"`` leave no choice.

    Raises:
        ConfigError: the native kernels are asked for and cannot serve the model; says why.
    """

    images, labels = images.to(device), labels.to(device)  # once, for all threads

    def with_torch() -> Arithmetic:
        return TorchArithmetic(module, info, images, labels, device)

    def with_native() -> Arithmetic:
        model = build(module, info.image_shape, info.mean, info.std)
        return NativeArithmetic(model, images, labels)

    if engine == "torch":
        return Choice(with_torch, "asked for")
    if device.type != "cpu":
        if engine == "native":
            raise ConfigError(f"engine 'native' works on the CPU, not on {device}")
        return Choice(with_torch, f"the device is {device}")
    try:
        with_native()  # builds the kernels, which a cache then holds for the other threads
    except Unsupported as why:
        if engine == "native":
            raise ConfigError(f"engine 'native' cannot serve this model: {why}") from None
        return Choice(with_torch, f"native kernels cannot serve this model: {why}")
    return Choice(with_native, "native kernels serve this model")
