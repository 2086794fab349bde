"""What a data set keeps -> what the model sees."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.protocols import DatasetInfo


class Normalise:
    """(pixel / 255 - mean) / std, or (x - mean) / std of numbers, as one multiplication and one addition, per channel;
    tokens stay as they are."""

    def __init__(self, info: DatasetInfo, device: torch.device) -> None:
        self._plain = info.values == "tokens"
        std = torch.tensor(info.std, device=device)
        self.scale = (1 / (info.unit * std))[:, None, None]
        self.shift = (-torch.tensor(info.mean, device=device) / std)[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """float32, or int64 tokens, of samples [..., channels, height, width] in the type of the data set."""
        # Copies, also of tokens and of numbers, which are float32 already: a model may change its inputs in place.
        if self._plain:
            return images.clone()
        return images.to(torch.float32, copy=True).mul_(self.scale).add_(self.shift)
