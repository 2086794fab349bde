"""Files from outside: opened without waiting for anybody, read up to a size, parsed up to a depth.

A path may lead to a pipe that nobody writes to or a device that never ends, a small file may hold brackets within
brackets or a number of thousands of digits. Whatever is wrong is an ``OSError`` whose ``strerror`` says it in words, or
a ``ValueError`` of one line.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tomllib
from io import BufferedReader
from pathlib import Path
from typing import Any

DEEPEST = 100
"""Tables and lists within each other, in TOML."""
MOST_DIGITS = 300
"""Of a whole number; one of some more cannot become a float."""
TOO_DEEP = f"more than {DEEPEST} tables or lists within each other"
TOO_LARGE = f"a whole number of more than {MOST_DIGITS} digits"
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a pipe"),
)


_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")
"""Letters that JSON escapes as two halves."""


def kind_of(mode: int) -> str:
    """What is there, by the mode that ``os.stat`` gives."""
    return next((kind for test, kind in _KINDS if test(mode)), "a device")


def open_file(path: Path) -> BufferedReader:
    """A file that is open to be read.

    Raises:
        OSError: there is none, it cannot be read, or something else is there: a folder, a pipe, a device.
    """
    # A pipe that nobody writes to would be waited for here; files know no such flag.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"it is {kind_of(mode)}; expected a file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file.

    Args:
        most: bytes that it may have.

    Raises:
        OSError: as ``open_file``, or it is larger.
    """
    with open_file(path) as file:
        there = os.fstat(file.fileno()).st_size
        found = file.read(min(there, most) + 1)  # memory for all that is asked for is taken at once
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return found


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, too deep for Python, or it has a number that is too large or what is no text.
    """
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError:  # Python's own bound, some thousand
        raise ValueError("too many objects or lists within each other") from None
    if _HALVES.search(text if isinstance(text, bytes) else text.encode()):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text with half of a letter") from None
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises:
        ValueError: it is no TOML, too deep, or it has a number that is too large.
    """
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's own bound
        raise ValueError(TOO_LARGE) from None
    layer: list[Any] = [content]
    for _ in range(DEEPEST + 1):
        if any(isinstance(one, int) and abs(one) >= 10**MOST_DIGITS for one in layer):
            raise ValueError(TOO_LARGE)
        inner = (
            one.values() if isinstance(one, dict) else one for one in layer if isinstance(one, dict | list)
        )
        layer = [one for some in inner for one in some]
    if layer:
        raise ValueError(TOO_DEEP)
    return content


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(TOO_LARGE)
    return int(digits)
