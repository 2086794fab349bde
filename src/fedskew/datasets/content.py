"""Reads files that may be corrupt or malicious: plain or gzip, up to a bound, every failure one DataError.

Nothing here trusts a size that a file announces: what is allocated is bounded by what the caller allows *and*
by what a file of its size on disk can hold at all.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from fedskew.errors import DataError
from fedskew.reading import open_file

CHUNK = 1 << 20
"""Bytes read at a time."""

GZIP_MAGIC = b"\x1f\x8b"

MAX_EXPANSION = 1032
"""Deflate codes at most 258 bytes in two bits, so no gzip file expands by more (zlib, "Technical Details")."""


@contextmanager
def opened(path: Path, *, decompress: bool = True) -> Iterator[BufferedIOBase]:
    """The bytes of a file as a stream, decompressed if its first bytes (not its name) say that it is gzip.

    Args:
        decompress: False gives the bytes as they are on disk.

    Raises:
        DataError: the file is missing, unreadable, or, while the stream is read, truncated or corrupt gzip.
    """
    try:
        with open_file(path) as raw:
            if decompress and raw.peek(2)[:2] == GZIP_MAGIC:
                with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                    yield stream
            else:
                yield raw
    except EOFError as error:
        raise DataError(f"{path}: truncated: the gzip stream ends too early", _again(path)) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: corrupt gzip: {error}", _again(path)) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _again(path: Path) -> str:
    return f"delete {path.name} and fetch it again"


def capacity(path: Path) -> int:
    """The most bytes that a file can hold, decompressed if it is gzip: a bound for announced sizes."""
    with opened(path, decompress=False) as raw:
        compressed = raw.read(2) == GZIP_MAGIC
    return path.stat().st_size * (MAX_EXPANSION if compressed else 1)


def read_exactly(stream: BufferedIOBase, size: int, path: Path, what: str = "") -> bytearray:
    """``size`` bytes of a stream, in a buffer that arrays can share and write to.

    Args:
        size: already bounded by the caller.
        path, what: for the error message: the file, and the part of it (empty for the whole).

    Raises:
        DataError: the stream ends before.
    """
    buffer = bytearray(size)
    view = memoryview(buffer)
    filled = 0
    while filled < size:
        # In pieces, because gzip's readinto() makes a copy of all that it is asked for.
        count = stream.readinto(view[filled : filled + CHUNK])
        if not count:
            part = f"{what} " if what else ""
            raise DataError(f"{path}: truncated: {part}ends after {filled:,} of {size:,} bytes", _again(path))
        filled += count
    return buffer


def expect_end(stream: BufferedIOBase, size: int, path: Path) -> None:
    """Checks that a stream holds no more than the ``size`` bytes already read; for gzip also checks its CRC.

    Raises:
        DataError: it is longer.
    """
    if stream.read(1):
        raise DataError(f"{path}: longer than the {size:,} bytes it should hold", _again(path))


def sha256_of(path: Path, limit: int | None) -> str:
    """SHA-256 (hex), in constant memory.

    Args:
        limit: the most decompressed bytes; None for the hash of the file as it is on disk.

    Raises:
        DataError: it cannot be read, or holds more than ``limit`` bytes (then reading stops there).
    """
    digest = hashlib.sha256()
    size = 0
    with opened(path, decompress=limit is not None) as stream:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if limit is not None and size > limit:
                raise DataError(f"{path}: longer than the {limit:,} bytes it should hold", _again(path))
            digest.update(chunk)
    return digest.hexdigest()
