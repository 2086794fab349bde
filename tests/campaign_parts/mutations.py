"""Damage to files: bytes that are changed, lost, doubled, taken from another file; values of JSON and TOML that are
others; and the same inside of what is compressed, where a checksum would hide it."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import tomli_w

Rng: TypeAlias = random.Random
Mutate: TypeAlias = Callable[[Rng, Sequence[bytes]], bytes]
"""A damaged file, given whole ones."""

TOKENS: tuple[bytes, ...] = (
    *(
        b"\0",
        b"\xff",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\0\0\0\x80",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ),
    *(
        b'"',
        b"\\",
        b"\\ud800",
        b"\n",
        b"\r",
        b",",
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b"nan",
        b"-inf",
        b"1e999",
        b"-0",
    ),
    *(b"\x1b[2J", b"\xe2\x80\xae", b"../../x", b"null", b"true", b"9" * 5000, b"[" * 20000, b'{"a":' * 2000),
)
VALUES: tuple[Any, ...] = (
    *(
        0,
        -1,
        1,
        2,
        255,
        2**31,
        2**32,
        2**63,
        -(2**63) - 1,
        10**30,
        0.0,
        -0.5,
        1e-300,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *("", "0", "none", "\x1b[31m", "‮", "a" * 300, "../x", "os:system", True, False, None),
    *([], {}, [[]], [None], [0.5, "x"], {"name": "x"}, {"": {"": []}}),
)


def bytewise(rng: Rng, files: Sequence[bytes]) -> bytes:
    """Some changes of bytes, one after the other."""
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        _change(rng, data, files)
    return bytes(data)


def _change(rng: Rng, data: bytearray, files: Sequence[bytes]) -> None:
    begin = rng.randrange(len(data) + 1)
    if rng.random() < 0.3:  # headers are at the beginning
        begin = min(begin, rng.randrange(128))
    end = min(len(data), begin + rng.choice((1, 1, 2, 4, 8, 64, 1024)))
    match rng.randrange(8):
        case 0:
            del data[begin:]
        case 1:
            del data[begin:end]
        case 2:
            data[begin:begin] = data[begin:end]
        case 3:
            other = rng.choice(files)
            place = rng.randrange(len(other) + 1)
            data[begin:end] = other[place : place + rng.choice((4, 64, 1024))]
        case 4:
            data[begin:begin] = rng.choice(TOKENS)
        case 5:
            token = rng.choice(TOKENS)
            data[begin : begin + len(token)] = token
        case _ if begin < len(data):
            data[begin] = rng.choice((data[begin] ^ 1 << rng.randrange(8), rng.randrange(256)))


def of_same_size(rng: Rng, files: Sequence[bytes]) -> bytes:
    """Mostly without a change of the size, which some formats fix."""
    data = bytewise(rng, files)
    size = len(files[0])
    return data if rng.random() < 0.2 else data[:size].ljust(size, b"\0")


def tree(rng: Rng, value: Any) -> Any:
    """Plain values of which some, anywhere inside, are others, are gone or come twice."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {key: inner for key, inner in value.items() if key != name}
            case 1:
                return {
                    (rng.choice((*value, "x", "")) if key == name else key): v for key, v in value.items()
                }
            case 2:
                return {**value, rng.choice(("x", name + "x")): rng.choice((*VALUES, value))}
            case _:
                return {**value, name: tree(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value[:at], value[at], *value[at:]]
            case 2:
                return value * rng.choice((0, 2, 50))
            case _:
                return [*value[:at], tree(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, int | float) and rng.random() < 0.3:
        return rng.choice((-value, value + 1, value * 1000, str(value), [value]))
    return rng.choice(VALUES)


def of_json(rng: Rng, files: Sequence[bytes]) -> bytes:
    """JSON with other values, or with other bytes."""
    if rng.random() < 0.3:
        return bytewise(rng, files)
    return json.dumps(_several(rng, json.loads(rng.choice(files)))).encode()


def of_lines(rng: Rng, files: Sequence[bytes]) -> bytes:
    """Lines of JSON, of which some have other values, are gone, doubled or exchanged; or with other bytes."""
    if rng.random() < 0.3:
        return bytewise(rng, files)
    lines = rng.choice(files).splitlines()
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(lines))
            case _:
                with suppress(ValueError, RecursionError):
                    lines[at] = json.dumps(tree(rng, json.loads(lines[at]))).encode()
    return b"\n".join(lines) + b"\n" * (rng.random() < 0.9)


def of_toml(rng: Rng, files: Sequence[bytes]) -> bytes:
    """TOML with other values, or with other bytes."""
    if rng.random() < 0.3:
        return bytewise(rng, files)
    value = _several(rng, tomllib.loads(rng.choice(files).decode()))
    try:
        return tomli_w.dumps(_without_none(value)).encode()
    except (TypeError, AttributeError, ValueError):  # the whole became something else than a table
        return bytewise(rng, files)


def _several(rng: Rng, value: Any) -> Any:
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = tree(rng, value)
    return value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(v) for v in value if v is not None] if isinstance(value, list) else value


def inside(
    open_: Callable[[bytes], bytes], close: Callable[[bytes], bytes], mutate: Mutate = bytewise
) -> Mutate:
    """Damage to what a file holds, mostly, and to the file itself.

    Args:
        open_, close: from the file to its content and back.
    """

    def changed(rng: Rng, files: Sequence[bytes]) -> bytes:
        if rng.random() < 0.2:
            return bytewise(rng, files)
        return close(mutate(rng, [open_(file) for file in files]))

    return changed


in_gzip = inside(gzip.decompress, lambda data: gzip.compress(data, 1, mtime=0))
in_xz = inside(lzma.decompress, lambda data: lzma.compress(data, preset=0))


def in_zip(rng: Rng, files: Sequence[bytes]) -> bytes:
    """Damage to a member of a ZIP file, whose checksum is that of the damaged content; or to the file itself."""
    if rng.random() < 0.2:
        return bytewise(rng, files)
    with zipfile.ZipFile(io.BytesIO(rng.choice(files))) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    changed, content = rng.choice(list(members)), io.BytesIO()
    members[changed] = bytewise(rng, [members[changed], *members.values()])
    if rng.random() < 0.1:
        del members[rng.choice(list(members))]
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return content.getvalue()


def in_safetensors(rng: Rng, files: Sequence[bytes]) -> bytes:
    """Other values in the header of a safetensors file, whose length stays right; or other bytes."""
    if rng.random() < 0.4:
        return bytewise(rng, files)
    data = rng.choice(files)
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(_several(rng, json.loads(data[8:end]))).encode()
    return len(header).to_bytes(8, "little") + header + data[end:]
