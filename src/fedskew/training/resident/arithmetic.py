"""What the resident engine's arithmetics have in common: the gradients of R clients' batches."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class BatchedArithmetic(Protocol):
    """How the gradients of R clients' batches are made: ``Arithmetic`` with a leading axis, without the host.

    Attributes:
        pads: whether a short batch may be filled up with images that do not count.
        dropouts: the number of dropout layers.
        frozen: bool [P], the weights that stay as the server sent them; None if there are none.
    """

    name: str
    pads: bool
    dropouts: int
    frozen: Tensor | None

    def rows(self, batch: int) -> int:
        """How many clients it trains at once in batches of this size."""

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
        """Writes the gradients of each client's mean loss, updates the buffers, and never waits for the device.

        Args:
            weights, buffers, gradients: float32 [R, P], [R, B], [R, P].
            images, labels: uint8 [R, b, channels, height, width] and int64 [R, b].
            counts: int64 [R]; how many of the b images count.
            keys: int64 [R, dropout layers, >= b], of the dropout masks.
            maps: float32 [R, 2, C]; losses and predictions are those of maps[:, 0] * logits + maps[:, 1].

        Returns:
            Sums of losses [R] and numbers of correct predictions [R], over the images that count.
        """

    def logits(self, weights: Tensor, buffers: Tensor, images: Tensor) -> Tensor:
        """[n, C] in evaluation mode, of weights [P] and buffers [B] on uint8 images [n, ...]."""
