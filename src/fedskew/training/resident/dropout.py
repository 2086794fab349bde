"""Dropout masks as a function of (seed, layer, position in the batch, unit): the native kernels' masks, in tensors.

There is no generator, hence no state on the host, and a client's masks do not depend on the other clients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WORD = 0xFFFFFFFF


def _mix(h: Tensor) -> Tensor:
    """lowbias32 (C. Wellons, "Prospecting for hash functions") on 32-bit words held in int64."""
    h = h ^ (h >> 16)
    h = (h * 0x7FEB352D) & _WORD
    h = h ^ (h >> 15)
    h = (h * 0x846CA68B) & _WORD  # overflows int64, whose low half is still right
    return h ^ (h >> 16)


def dropout_keys(seeds: Tensor, layers: int, batch: int) -> Tensor:
    """The random key of each sample for each dropout layer: a function of these numbers alone.

    Args:
        seeds: int64 [...], one per client and step.
        layers: dropout layers of the model, counted from 0.

    Returns:
        int64 [..., layers, batch].
    """
    device = seeds.device
    seeds = seeds[..., None, None]
    layer, position = torch.arange(layers, device=device)[:, None], torch.arange(batch, device=device)
    key = torch.full((*seeds.shape[:-2], layers, batch), 0x9E3779B9, dtype=torch.int64, device=device)
    for word in (seeds & _WORD, seeds >> 32, layer, position & _WORD, position >> 32):
        key = (_mix((key + word) & _WORD) + 0x9E3779B9) & _WORD
    return key


def dropout_mask(keys: Tensor, units: int, p: float) -> Tensor:
    """What dropout multiplies by: 0 with probability p, else 1 / (1 - p).

    Args:
        keys: int64 [..., batch], of one layer.

    Returns:
        float32 [..., batch, units].
    """
    unit = (torch.arange(units, device=keys.device) * 0x9E3779B1) & _WORD
    h = _mix(_mix(keys[..., None] ^ unit))
    return ((h >> 8) >= round(p * 2**24)).float() * (1 / (1 - p) if p < 1 else 0.0)


class KeyedDropout(nn.Module):
    """``nn.Dropout`` whose mask is a function of ``keys``, int64 [layers, batch], set before a step."""

    keys: Tensor

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        self.p, self.layer = p, layer

    def forward(self, x: Tensor) -> Tensor:
        """x with entries zeroed with probability p and the rest scaled by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        mask = dropout_mask(self.keys[self.layer, : len(x)], x[0].numel(), self.p)
        return x * mask.view_as(x)


def keyed(module: nn.Module) -> tuple[nn.Module, list[KeyedDropout]]:
    """The module with its ``nn.Dropout`` layers replaced in place, and the replacements in their order."""
    found: list[KeyedDropout] = []

    def replaced(inner: nn.Module) -> nn.Module:
        if type(inner) is nn.Dropout:
            found.append(KeyedDropout(inner.p, len(found)))
            return found[-1]
        for name, child in inner.named_children():
            setattr(inner, name, replaced(child))
        return inner

    return replaced(module), found
