"""A kind of file: whole ones, how they are damaged, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from campaign_parts.mutations import Mutate


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        file: the path of a damaged one below the folder where it is tried.
        whole: files of this kind.
        mutate: damages them.
        read: reads one.
        beside: other files that are read with it, by path.
    """

    file: str
    whole: Sequence[bytes]
    mutate: Mutate
    read: Callable[[Path], object]
    beside: Mapping[str, bytes] = field(default_factory=dict)
