"""What a value holds, leaf by leaf, with the bits of each, so that values can be compared before and after a call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) of everything in records, mappings and sequences, for example ``("updates.deltas", tensor)``."""
    if is_dataclass(value) and not isinstance(value, type):
        inside: list[tuple[str, Any]] = [(f".{f.name}", getattr(value, f.name)) for f in fields(value)]
    elif isinstance(value, nn.Module):
        inside = [(f".{name}", tensor) for name, tensor in value.state_dict().items()]
    elif isinstance(value, Mapping):
        inside = [(f".{name}" if path else str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        inside = [(f"[{number}]", item) for number, item in enumerate(value)]
    else:
        yield path, value
        return
    yield path, f"{type(value).__name__} of {len(inside)}"
    for step, item in inside:
        yield from leaves(item, path + step)


def bits(leaf: Any) -> str:
    """The same text for leaves that are equal bit by bit; functions and generators by identity."""
    if isinstance(leaf, Tensor):
        plain = leaf.detach().cpu().contiguous().flatten().view(torch.uint8)
        return f"{leaf.dtype} {list(leaf.shape)} {_sha(plain.numpy().tobytes())}"
    if isinstance(leaf, np.ndarray | np.generic):
        return f"{leaf.dtype} {leaf.shape} {_sha(leaf.tobytes())}"
    if callable(leaf) or isinstance(leaf, np.random.Generator):
        return type(leaf).__name__
    return repr(leaf)


def fingerprint(value: Any) -> dict[str, str]:
    """The bits of every leaf, by path."""
    return {path: bits(leaf) for path, leaf in leaves(value)}


def versions(value: Any) -> dict[str, int]:
    """How often each tensor has been changed in place, by path; not counting what is done through NumPy."""
    return {path: leaf._version for path, leaf in leaves(value) if isinstance(leaf, Tensor)}


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
