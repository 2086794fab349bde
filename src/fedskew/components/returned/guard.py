"""The guard against components that change what they were given, which other components still use."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fedskew.errors import ConfigError


@contextmanager
def unchanged(name: str, *tensors: Tensor | None, thorough: bool = False) -> Iterator[None]:
    """Refuses a component that changes, while the block runs, tensors that it was given.

    PyTorch counts the in-place operations on a tensor and all its views, which costs nothing to compare. Operations
    of NumPy on ``tensor.numpy()`` are not counted; ``thorough`` finds those too, for one pass over the memory before
    the block and one after it.

    Args:
        name: the component, for example ``"aggregator 'median'"``.
        tensors: what it was given; None stands for nothing.
        thorough: whether to compare checksums of the content too: for components that are not built in.

    Raises:
        ConfigError: one of them was changed. An error raised by the component itself passes as it is.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    before = [_mark(tensor, thorough) for tensor in given]
    yield
    if [_mark(tensor, thorough) for tensor in given] != before:
        raise ConfigError(
            f"{name} changed in place what it was given, which other components use too",
            "let it work on a copy: tensor.clone()",
        )


def _mark(tensor: Tensor, thorough: bool) -> tuple[int, int]:
    if tensor.is_inference():  # of which PyTorch does not count the operations
        return 0, _checksum(tensor)
    return tensor._version, _checksum(tensor) if thorough else 0


def _checksum(tensor: Tensor) -> int:
    """CRC-32 of the content, row by row, so that there is no second matrix. A sum would not do: it is the same after
    a sort in place."""
    found = 0
    for row in tensor.detach() if tensor.ndim > 1 else (tensor.detach().reshape(-1),):
        content = row.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        found = zlib.crc32(content.data, found)
    return found
