"""The native kernels with the interface of ``fedskew.training.arithmetic``."""

from __future__ import annotations

from torch import Tensor

from fedskew.config import SGD, Adam
from fedskew.protocols import Predictions, State
from fedskew.training.native import step
from fedskew.training.native.model import NativeModel
from fedskew.training.optimizers import Step


class NativeArithmetic:
    """Loss, gradient and steps by compiled kernels; they have no buffers, so those pass through.

    Args:
        images, labels: the population's training images uint8 and labels, on the CPU.

    Raises:
        Unsupported: the steps cannot be compiled.
    """

    name = "native"
    frozen: Tensor | None = None

    def __init__(self, model: NativeModel, images: Tensor, labels: Tensor) -> None:
        self.model, self.images, self.labels = model, images, labels
        self._steps = step.load()

    def make_step(self, settings: Adam | SGD, lr: float, state: State) -> Step:
        """See ``Arithmetic``."""
        return step.make_step(self._steps, settings, lr, state)

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
        return self.model.loss_and_gradient(
            weights, gradient, self.images, self.labels, indices, seed, logit_map
        )

    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        """See ``Arithmetic``."""
        losses, classes = self.model.evaluate(weights, images.contiguous(), labels.contiguous(), None)
        return Predictions(classes, losses)
