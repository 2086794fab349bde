"""uint8 images -> what the model sees."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.protocols import DatasetInfo


class Normalise:
    """(pixel / 255 - mean) / std as one multiplication and one addition, per channel."""

    def __init__(self, info: DatasetInfo, device: torch.device) -> None:
        std = torch.tensor(info.std, device=device)
        self.scale = (1 / (255 * std))[:, None, None]
        self.shift = (-torch.tensor(info.mean, device=device) / std)[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """float32 of uint8 images [..., channels, height, width]."""
        return images.float().mul_(self.scale).add_(self.shift)
