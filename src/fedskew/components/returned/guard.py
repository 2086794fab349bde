"""The guard against components that change what they were given, which other components still use."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from fedskew.errors import ConfigError


@contextmanager
def unchanged(name: str, *given: object, thorough: bool = False) -> Iterator[None]:
    """Refuses a component that changes, while the block runs, tensors that it was given.

    PyTorch counts the in-place operations on a tensor and all its views, which costs nothing to compare. Operations
    of NumPy on ``tensor.numpy()`` are not counted; ``thorough`` finds those too, for one pass over the memory before
    the block and one after it.

    Args:
        name: the component, for example ``"aggregator 'median'"``.
        given: tensors, and records and mappings with tensors in them; anything else is not looked at.
        thorough: whether to compare checksums of the content too: for components that are not built in.

    Raises:
        ConfigError: one of them was changed. An error raised by the component itself passes as it is.
    """
    before = [_mark(tensor, thorough) for tensor in _tensors(given)]
    yield
    if [_mark(tensor, thorough) for tensor in _tensors(given)] != before:
        raise changed_in_place(name)


@contextmanager
def same_records(name: str, given: object) -> Iterator[None]:
    """The same for records without tensors, such as a run's history: any change inside them is found.

    Costs about 10 microseconds for the record of a round.
    """
    before = pickle.dumps(given)
    yield
    if pickle.dumps(given) != before:
        raise changed_in_place(name, "copy.deepcopy(...)")


def changed_in_place(name: str, how: str = "tensor.clone()") -> ConfigError:
    """What to tell of a component that has changed what it was given.

    Args:
        how: to make a copy.
    """
    return ConfigError(
        f"{name} changed in place what it was given, which other components use too",
        f"let it work on a copy: {how}",
    )


def _tensors(given: object) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, tuple | Mapping):
        for inside in given.values() if isinstance(given, Mapping) else given:
            yield from _tensors(inside)
    elif is_dataclass(given):
        for part in fields(given):
            yield from _tensors(getattr(given, part.name))


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
