"""Tensors in a file with a checksum of its own, by which it is seen when a file is not what was written.

The file is a safetensors file; the checksum, under ``sha256`` in its metadata, is of everything else in it: the header
without the checksum, as JSON with sorted keys, and the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from safetensors.torch import save

from fedskew.protocols import State

CHECKSUM = "sha256"
MOST_HEADER = 100_000_000
"""Bytes of a header, which safetensors refuses too."""
_PIECE = 1 << 20


def seal(tensors: State, metadata: Mapping[str, str]) -> bytes:
    """The content of such a file; the same tensors and metadata always give the same bytes.

    Args:
        tensors: on the CPU, each with memory of its own.
    """
    content = memoryview(save(tensors))
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = {"__metadata__": dict(metadata), **json.loads(bytes(content[8:start]))}
    data = content[start:]
    header["__metadata__"][CHECKSUM] = _checksum(header, [data])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the tensors' bytes are aligned
    return b"".join([len(text).to_bytes(8, "little"), text, data])


def check_seal(file: BinaryIO, unsealed: Collection[str] = ()) -> dict[str, str]:
    """The metadata of such a file, read from its beginning.

    Args:
        unsealed: the names of the metadata of files that may be without a checksum: earlier versions wrote none.

    Raises:
        ValueError, TypeError, AttributeError, RecursionError: it is no safetensors file, or not what was written.
    """
    if (length := int.from_bytes(file.read(8), "little")) > MOST_HEADER:
        raise ValueError(f"its header is said to have {length:,} bytes")
    header = json.loads(file.read(length))
    metadata: dict[str, str] = header.get("__metadata__", {})
    written = metadata.pop(CHECKSUM, None)
    if written is None and metadata and metadata.keys() <= set(unsealed):
        return metadata
    if written != _checksum(header, _pieces(file)):
        raise ValueError("it is not what was written: its checksum is another one")
    return metadata


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _checksum(header: Mapping[str, Any], data: Iterable[bytes | memoryview]) -> str:
    whole = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for piece in data:
        whole.update(piece)
    return whole.hexdigest()
