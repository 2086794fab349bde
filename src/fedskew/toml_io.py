"""TOML files in and out, ``--set`` overrides, and errors that name the field and its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

from fedskew.errors import ConfigError, nearest

R = TypeVar("R", bound=BaseModel)
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: it cannot be read or is not TOML; names the file and the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def write_toml(value: Mapping[str, Any]) -> str:
    """A mapping as TOML text."""
    return tomli_w.dumps(value)


def split_path(path: str) -> list[str]:
    """``a.b."c d"`` as its parts."""
    return [part.strip().strip("\"'") for part in re.findall(r"""\s*("[^"]*"|'[^']*'|[^.]+)""", path)]


def line_of(text: str, path: Iterable[str | int]) -> int | None:
    """The 1-based line of a TOML text on which a field is given; of its table if it is not; else None.

    Works on keys and table headers, which is where people write fields; what stands inside an inline table
    is found at the line of the table.
    """
    wanted = [str(part) for part in path if not isinstance(part, int)]
    best: tuple[int, int] | None = None
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = split_path(header[1])
            here = table
        elif key := _KEY.match(line):
            here = table + split_path(key[1])
        else:
            continue
        if here == wanted[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


def parse_override(assignment: str) -> tuple[list[str], Any]:
    """``a.b=c`` as the path and the value: TOML if it parses as TOML, else the text itself.

    Raises:
        ConfigError: there is no ``=`` or no field before it.
    """
    field, equals, text = assignment.partition("=")
    path = split_path(field)
    if not equals or not path:
        raise ConfigError(f"--set {assignment!r} is not FIELD=VALUE", "for example --set split.alpha=0.5")
    try:
        return path, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return path, text.strip()


def with_override(content: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A copy of nested tables with one field set. A component given by its name becomes a table of it."""
    head, *rest = path
    result = dict(content)
    if rest:
        inner = result.get(head, {})
        if isinstance(inner, str):
            inner = {"name": inner}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"cannot set {'.'.join(path)}: {head} is not a table")
        result[head] = with_override(inner, rest, value)
    else:
        result[head] = value
    return result


def build(
    record: type[R],
    content: Mapping[str, Any],
    *,
    source: str = "the config",
    text: str | None = None,
    prefix: tuple[str, ...] = (),
) -> R:
    """A record from plain values.

    Args:
        source: what to call the origin in an error, e.g. the file's name.
        text: the TOML text, so that an error can name the line.
        prefix: where ``content`` stands in the text.

    Raises:
        ConfigError: one sentence for each wrong field: its name, line, what was found and expected.
    """
    try:
        return record.model_validate(content)
    except ValidationError as error:
        sentences, hint = [], None
        for item in error.errors():
            path = [part for part in item["loc"] if not _is_tag(part, content)]
            sentence, item_hint = _explain(record, path, item)
            line = line_of(text, [*prefix, *path]) if text is not None else None
            sentences.append(f"{source}{f', line {line}' if line else ''}: {sentence}")
            hint = hint or item_hint
        raise ConfigError("\n".join(dict.fromkeys(sentences)), hint) from None


def _is_tag(part: str | int, content: Mapping[str, Any]) -> bool:
    """Whether pydantic put this into the path as the tag of a union (the optimizer's name)."""
    return part in ("adam", "sgd")


def _explain(record: type[BaseModel], path: list[str | int], item: Any) -> tuple[str, str | None]:
    name = ".".join(map(str, path)) or "the whole"
    found = item.get("input")
    match item["type"]:
        case "extra_forbidden":
            valid = _fields_at(record, path[:-1], item)
            close = nearest(str(path[-1]), valid)
            where = ".".join([*map(str, path[:-1]), close]) if close else None
            listed = f"; valid: {', '.join(valid)}" if valid else ""
            return f"unknown field {name!r}{listed}", f"did you mean {where!r}?" if where else None
        case "missing":
            return f"{name} is missing", None
        case "union_tag_invalid":
            expected = item["ctx"]["expected_tags"].replace("'", "")
            tag = item["ctx"]["tag"]
            close = nearest(tag, expected.split(", "))
            return f"{name}: unknown name {tag!r}; valid: {expected}", close and f"did you mean {close!r}?"
        case "value_error":
            return f"{name}: {item['ctx']['error']}" if path else str(item["ctx"]["error"]), None
        case "literal_error":
            expected = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            close = nearest(str(found), expected.split(", "))
            return f"{name} = {found!r}; valid: {expected}", close and f"did you mean {close!r}?"
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"{name} = {found!r}: {message}", None


def _fields_at(record: type[BaseModel], path: list[str | int], item: Any) -> list[str]:
    """The fields that are valid in the table at ``path``."""
    current: Any = record
    for part in path:
        field = current.model_fields.get(part) if hasattr(current, "model_fields") else None
        if field is None:
            return []
        current = field.annotation
        if not hasattr(current, "model_fields"):
            tag = next((loc for loc in item["loc"] if loc in ("adam", "sgd")), None)
            options = [a for a in getattr(current, "__args__", ()) if hasattr(a, "model_fields")]
            named = [a for a in options if tag is None or a.model_fields["name"].default == tag]
            current = named[0] if named else (options[0] if options else current)
    return list(getattr(current, "model_fields", {}))
