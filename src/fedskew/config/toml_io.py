"""TOML files in and out, and ``--set`` overrides."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from fedskew.config.origin import split_path
from fedskew.errors import ConfigError
from fedskew.reading import parse_toml, read_bytes

_ASSIGNMENT = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^="'])*?)\s*=(.*)""", re.DOTALL)


MOST_BYTES = 16_000_000
"""Of a TOML file."""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: it cannot be read or is not TOML; names the file and the line.
    """
    return read_toml_text(path)[0]


def read_toml_text(path: Path) -> tuple[dict[str, Any], str]:
    """The content of a TOML file and its text, in which an error finds the line; raises as ``read_toml``."""
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8")
        return parse_toml(text), text
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def write_toml(value: Mapping[str, Any]) -> str:
    """A mapping as TOML text."""
    return tomli_w.dumps(value)


def parse_override(assignment: str) -> tuple[list[str], Any]:
    """``a.b=c`` as the path and the value: TOML if it parses as TOML, else the text itself.

    Raises:
        ConfigError: there is no ``=`` or no field before it.
    """
    found = _ASSIGNMENT.fullmatch(assignment)
    path = split_path(found[1]) if found else []
    if found is None or not path or not all(path):
        raise ConfigError(f"--set {assignment!r} is not FIELD=VALUE", "for example --set split.alpha=0.5")
    try:
        assignment.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"--set {'.'.join(path)} is not UTF-8 text") from None
    try:
        return path, parse_toml(f"value = {found[2]}")["value"]
    except tomllib.TOMLDecodeError:
        return path, found[2].strip()
    except ValueError as error:
        raise ConfigError(f"--set {'.'.join(path)}: {error}") from None


def with_override(
    content: Mapping[str, Any], path: Sequence[str], value: Any, defaults: object = None
) -> dict[str, Any]:
    """A copy of nested tables with one field set.

    A component that is given by its name, or that is only there by default, becomes a table of that name.

    Args:
        defaults: the record that stands for what ``content`` leaves out.
    """
    head, *rest = path
    result = dict(content)
    if rest:
        default = getattr(defaults, head, None)
        inner = result.get(head)
        if inner is None:
            name = getattr(default, "name", None)
            inner = {"name": name} if isinstance(name, str) and rest[0] != "name" else {}
        if isinstance(inner, str):
            inner = {"name": inner}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"cannot set {'.'.join(path)}: {head} is not a table")
        result[head] = with_override(inner, rest, value, default)
    else:
        result[head] = value
    return result
