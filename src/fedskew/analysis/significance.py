"""Tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def holm(items: Sequence[T]) -> list[T]:
    """The same items with ``p_holm`` set."""
    raise NotImplementedError
