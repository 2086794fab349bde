"""Files that survive a kill at any instant: atomic replacement, appended lines that are whole or not there.

A folder may have come from anywhere. What is written, cut or removed in it must not lie elsewhere, so no symbolic link
is followed there: to do so would change a file that its maker chose, with text that its maker chose. What is only read
may be a link, as in a repository of git-annex, but nothing that could be waited for, such as a pipe.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedskew.errors import RunError
from fedskew.reading import kind_of, parse_json


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable, on systems that support it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


_PART = re.compile(r"\.[0-9a-f]{16}\.part")
"""The names of files that are being written."""


def is_file(path: Path) -> bool:
    """Whether there is a file to read, or a link to one.

    Raises:
        RunError: a folder, a pipe or a device is there.
    """
    return _is(path, path.stat, stat.S_ISREG, "a file")


def is_own_file(path: Path) -> bool:
    """Whether there is a file to write to, to cut or to replace.

    Raises:
        RunError: something else is there, such as a link to a file.
    """
    return _is(path, path.lstat, stat.S_ISREG, "a file")


def is_own_folder(path: Path) -> bool:
    """Whether there is a folder to write in.

    Raises:
        RunError: something else is there, such as a link to a folder.
    """
    return _is(path, path.lstat, stat.S_ISDIR, "a folder")


def _is(path: Path, look: Callable[[], os.stat_result], wanted: Callable[[int], bool], word: str) -> bool:
    try:
        mode = look().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not wanted(mode):
        hint = "put what it leads to in its place" if stat.S_ISLNK(mode) else "fedskew never made it"
        raise RunError(f"{path} is {kind_of(mode)}; expected {word}", hint)
    return True


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, if it is missing.

    Raises:
        RunError: something else is there, such as a link to a folder.
    """
    if not is_own_folder(path):
        path.mkdir(parents=True, exist_ok=True)


def replace_file(path: Path, content: bytes | str) -> None:
    """Replace a file's content: a reader sees the old or the new one, never a part, also after a crash.

    A kill may leave a part of it under a name of its own (:func:`sweep`).
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:  # never what is there already, nor what a link there leads to
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # rather than the part's name, or none
        raise
    sync_folder(path.parent)


def sweep(folder: Path, older: float = 0.0) -> None:
    """Removes what kills have left of files in a folder.

    Args:
        older: seconds since which nobody has written to them; 0 where nobody else writes in the folder.
    """
    for part in folder.glob(".*.part"):
        with suppress(OSError):  # another process was faster
            found = part.lstat()
            ours = _PART.fullmatch(part.name) is not None and not stat.S_ISDIR(found.st_mode)
            if ours and time.time() - found.st_mtime >= older:
                part.unlink()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content to a new file; it is on disk when this returns."""
    with source.open("rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        os.fsync(new.fileno())


def to_json(value: Any, *, indent: int | None = None, compact: bool = False, ascii_only: bool = False) -> str:
    """Strict JSON with NaN and infinities as null; the same value always gives the same text.

    Args:
        ascii_only: escapes all other letters and DEL, for a terminal of any encoding.
    """
    between = (",", ":") if compact else None
    text = json.dumps(
        _finite(value), indent=indent, allow_nan=False, ensure_ascii=ascii_only, separators=between
    )
    if ascii_only:
        return text.replace("\x7f", "\\u007f")
    return _HALF.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)


_HALF = re.compile("[\ud800-\udfff]")
"""What the name of a file may have that is not UTF-8, and no text in a file can: it is spelled out."""


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


class LineFile:
    """A JSON-lines file that grows; made if it is missing.

    Args:
        path: of the file, which must not end in a torn line (``keep_lines``).

    Raises:
        RunError: something else than a file is there, such as a link to one.
    """

    def __init__(self, path: Path) -> None:
        is_own_file(path)
        self._file = path.open("ab")

    def append(self, value: Any) -> bytes:
        """Appends a line and gives it back: every reader sees it from now on, and a kill of this process loses nothing
        of it."""
        line = (to_json(value) + "\n").encode()
        self._file.write(line)
        self._file.flush()
        return line

    def sync(self) -> None:
        """Waits until all lines are on disk, where a crash of the machine does not lose them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_lines(path: Path) -> list[Any]:
    """The whole lines of a JSON-lines file; a torn last line is left out; a missing file has none.

    Raises:
        RunError: a line other than the last is not JSON, or something else than a file is there.
    """
    return parse_lines(path, path.read_bytes()) if is_file(path) else []


def parse_lines(path: Path, content: bytes) -> list[Any]:
    """The same of the content of a file.

    Args:
        path: of the file, for errors.
    """
    *whole, _torn = content.split(b"\n")
    lines = []
    for number, line in enumerate(whole, start=1):
        try:
            lines.append(parse_json(line))
        except ValueError:
            raise RunError(f"{path}, line {number} is damaged: not JSON") from None
    return lines


def first_lines(path: Path, count: int) -> bytes:
    """The first whole lines of a file, as many as there are up to ``count``; what follows them is not looked at.

    Raises:
        RunError: something else than a file is there.
    """
    if not is_file(path):
        return b""
    with path.open("rb") as file:
        lines = [file.readline() for _ in range(count)]
    return b"".join(line for line in lines if line.endswith(b"\n"))


def keep_lines(path: Path, count: int) -> None:
    """Cut a file after its first ``count`` lines.

    Raises:
        RunError: something else than a file is there, such as a link to one.
    """
    if not is_own_file(path):
        return
    with path.open("rb+") as file:
        for _ in range(count):
            file.readline()
        file.truncate()
        os.fsync(file.fileno())


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, without PyTorch: type, shape and place of its tensors by name, and texts under
    ``__metadata__``.

    Raises:
        RunError: the file is damaged, or something else is there.
    """
    is_file(path)
    try:
        with path.open("rb") as file:
            size, length = path.stat().st_size, int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = dict(json.loads(file.read(min(length, size))))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        if (expected := 8 + length + max(ends, default=0)) != size:
            raise ValueError(f"it has {size} bytes; expected {expected}")
        return header
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None


LONGEST = 80
"""Letters of a value in a message."""


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two nested plain values differ, one line each: field, old value, new value."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(k for k in new if k not in old)]:
            found += differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    return [] if old == new else [f"  {path}: stored {_shown(old)}, given {_shown(new)}"]


def _shown(value: Any) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
