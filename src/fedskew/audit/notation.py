"""How components are written in one line: ``krum(f=2)``, and a chain of them ``nnm(f=2) + krum(f=2)``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fedskew.config.toml_io import parse_override
from fedskew.errors import ConfigError

_PART = re.compile(r"\s*([^()+\s]+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_WORD = re.compile(r"(?!true$|false$|inf$|nan$)[A-Za-z_][A-Za-z0-9_-]*")
_OPEN, _CLOSE, _QUOTES = "([{", ")]}", "\"'"


def parse_chain(text: str) -> list[dict[str, Any]]:
    """The parts of a chain, each ``{"name": ..., options}``; values as in TOML, or text.

    >>> parse_chain("nnm(f=2) + multi-krum(f=2, m=3)")
    [{'name': 'nnm', 'f': 2}, {'name': 'multi-krum', 'f': 2, 'm': 3}]

    Raises:
        ConfigError: it cannot be read.
    """
    found = []
    for part in _split(text, "+"):
        match = _PART.fullmatch(part)
        if match is None:
            raise ConfigError(
                f"{text!r} is not a component or a chain of components",
                'write NAME, "NAME(OPTION=VALUE, ...)", or several of these with + between them',
            )
        name, inside = match.groups()
        options: dict[str, Any] = {}
        for given in _split(inside, ",") if inside and inside.strip() else []:
            if "=" not in given:
                raise ConfigError(
                    f"{text!r}: {given.strip()!r} is not OPTION=VALUE",
                    f'for example "{name}(OPTION=VALUE, ...)"',
                )
            (field, *more), value = parse_override(given.strip())
            if more or field in options or field == "name":
                raise ConfigError(f"{text!r}: {given.strip()!r} is not an option of {name}")
            options[field] = value
        found.append({"name": name, **options})
    return found


def each_of(texts: Iterable[str]) -> tuple[str, ...]:
    """What is asked for by an option that may be repeated, and hold several with commas between them.

    >>> each_of(["sign-flip, ipm", "alie(z=0.5, knowledge=own)"])
    ('sign-flip', 'ipm', 'alie(z=0.5, knowledge=own)')
    """
    return tuple(piece.strip() for text in texts for piece in _split(text, ","))


def in_notation(component: Mapping[str, Any]) -> str:
    """A component in one line.

    >>> in_notation({"name": "krum", "f": 2})
    'krum(f=2)'
    """
    options = ", ".join(f"{name}={_value(value)}" for name, value in component.items() if name != "name")
    return f"{component['name']}({options})" if options else str(component["name"])


def _value(value: Any) -> str:
    """A value as it is read again: as in TOML; text of letters and digits as it is."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value if _WORD.fullmatch(value) else json.dumps(value, ensure_ascii=False)
        case dict():
            fields = (f"{name} = {_quoted(each)}" for name, each in value.items())
            return "{ " + ", ".join(fields) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_quoted, value)) + "]"
        case _:
            return str(value)


def _quoted(value: Any) -> str:
    """The same inside a table or a list, where text needs its quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _value(value)


def _split(text: str, separator: str) -> list[str]:
    """The pieces between separators that stand in no brackets and no quotes."""
    pieces, depth, quote = [""], 0, ""
    for letter in text:
        if quote or letter in _QUOTES:
            quote = "" if letter == quote else quote or letter
        elif letter in _OPEN:
            depth += 1
        elif letter in _CLOSE:
            depth -= 1
        if letter == separator and depth == 0 and not quote:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces
