"""Arrays in NumPy's ``.npy`` format, alone or in an ``.npz`` file, that come from others.

No code in them is run, and what a header announces can be checked before anything is allocated. NumPy and ``zipfile``
raise errors of many kinds on what is damaged or crafted; here every one of them is a ``ValueError`` of one line.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fedskew.errors import FedskewError

MOST_HEADER = 10_000
"""The longest header that is read, in bytes: NumPy's own bound."""
LONGEST_REASON = 160
"""Letters of what NumPy says, which may quote a whole header."""


@dataclass(frozen=True)
class Header:
    """What an array announces.

    Attributes:
        start: where its values begin, in bytes from its own beginning.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def size(self) -> int:
        """The bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def plain_errors() -> Iterator[None]:
    """Inside, whatever goes wrong with what is read is a ``ValueError``; NumPy's warnings about it are left out.

    An ``OSError``, a lack of memory and an error of this program stay as they are.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of a header as Python 2 wrote it, or with odd escapes in its text
            yield
    except (OSError, MemoryError, FedskewError):
        raise
    # A header is parsed as Python's source text is: TokenError, SyntaxError, RecursionError, KeyError, ...
    except Exception as error:
        raise ValueError(_reason(error)) from error


def read_header(stream: IO[bytes]) -> Header:
    """The header of an array, at the place where the stream is, which is then somewhere after it.

    Raises:
        ValueError: it is no header, or one that cannot be.
        OSError: the stream cannot be read.
    """
    with plain_errors():
        # A copy of the beginning: the header says itself how long it is, and NumPy would read as much before it looks.
        start = BytesIO(stream.read(MOST_HEADER))
        version = np.lib.format.read_magic(start)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(start)
        if any(isinstance(axis, bool) or axis < 0 for axis in shape):
            raise ValueError(f"its header announces the shape {shape}")
        if not dtype.itemsize:
            raise ValueError(f"its header announces values of type {dtype}")
        return Header(shape, dtype, start.tell())


def read_array(stream: IO[bytes], held: int) -> npt.NDArray[Any]:
    """An array, from the beginning of a stream that can be wound back.

    Args:
        held: how many bytes the stream has; what is allocated is no more.

    Raises:
        ValueError: it is no array, or announces another size than it has.
        OSError: the stream cannot be read.
    """
    header = read_header(stream)
    if header.dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if header.size != held - header.start:
        raise ValueError(f"it announces {header.size:,} bytes and holds {held - header.start:,}")
    with plain_errors():
        stream.seek(0)
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        return array


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
    kind = type(error).__name__
    return text if text and isinstance(error, ValueError) else f"{kind}: {text}" if text else kind
