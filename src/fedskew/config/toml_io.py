"""TOML files in and out, ``--set`` overrides, and errors that name the field and its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError

from fedskew.errors import ConfigError, nearest

R = TypeVar("R", bound=BaseModel)
_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_ASSIGNMENT = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^="'])*?)\s*=(.*)""", re.DOTALL)


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
    is found at the line of the table. The elements of an array of tables are counted from 0.
    """
    wanted = [str(part) for part in path]
    best: tuple[int, int] | None = None
    table: list[str] = []
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = []
            for part in split_path(header[1]):
                table += [str(counts[tuple(table)])] if tuple(table) in counts else []
                table.append(part)
            if line.lstrip().startswith("[["):
                counts[tuple(table)] = counts.get(tuple(table), -1) + 1
                table.append(str(counts[tuple(table)]))
            here = table
        elif key := _KEY.match(line):
            here = table + split_path(key[1])
        else:
            continue
        if here == wanted[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


@dataclass(frozen=True)
class Origin:
    """Where plain values come from, so that an error can say it.

    Attributes:
        name: what to call it, e.g. the file.
        text: the TOML text, for line numbers.
        overridden: the paths that ``--set`` has set; a line of the file is not to blame for those.
        prefix: where the values stand in the text.
        moved: where those stand that do not stand there: path of a value -> where in the text.
    """

    name: str = "the config"
    text: str | None = None
    overridden: tuple[tuple[str, ...], ...] = ()
    prefix: tuple[str, ...] = ()
    moved: Mapping[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)

    def at(self, path: Sequence[str | int]) -> str:
        """The place of a field in words."""
        plain = tuple(str(part) for part in path)
        whole = (*self.prefix, *plain)
        for given, where in self.moved.items():
            if plain[: len(given)] == given:
                whole = where
        for given in self.overridden:
            if given[: len(whole)] == whole or whole[: len(given)] == given:
                return f"--set {'.'.join(given[len(self.prefix) :] or given)}"
        line = line_of(self.text, whole) if self.text is not None else None
        return f"{self.name}, line {line}" if line else self.name


@contextmanager
def blamed(origin: Origin) -> Iterator[None]:
    """Errors about a field say in which file and on which line it stands; others pass as they are."""
    try:
        yield
    except ConfigError as error:
        if error.field is None:
            raise
        path = re.sub(r"\[(\d+)\]", r".\1", error.field).split(".")
        raise ConfigError(f"{origin.at(path)}: {error.message}", error.hint, error.field) from None


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
        return path, tomllib.loads(f"value = {found[2]}")["value"]
    except tomllib.TOMLDecodeError:
        return path, found[2].strip()


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


def build(record: type[R], content: Mapping[str, Any], origin: Origin | None = None) -> R:
    """A record from plain values.

    Raises:
        ConfigError: one sentence for each wrong field: its name, place, what was found and expected.
    """
    origin = origin or Origin()
    try:
        return record.model_validate(content)
    except ValidationError as error:
        sentences, hint = [], None
        for item in error.errors():
            path = [part for part in item["loc"] if not _is_tag(part)]
            sentence, item_hint = _explain(record, path, item)
            sentences.append(f"{origin.at(path)}: {sentence}")
            hint = hint or item_hint
        raise ConfigError("\n".join(dict.fromkeys(sentences)), hint) from None


def _is_tag(part: str | int) -> bool:
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
        case "union_tag_not_found":
            return f"{name} needs a name; valid: adam, sgd", f'for example {name} = {{name = "adam", ...}}'
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
    return f"{name} = {found!r}: {plain_words(item['msg'])}", None


def plain_words(message: str) -> str:
    """A pydantic message as a part of a sentence, in TOML's words."""
    lowered = message[0].lower() + message[1:]
    for python, toml in (("valid tuple", "list"), ("valid list", "list"), ("valid dictionary", "table")):
        lowered = lowered.replace(python, toml)
    return lowered


def _fields_at(record: type[BaseModel], path: list[str | int], item: Any) -> list[str]:
    """The fields that are valid in the table at ``path``."""
    current: Any = record
    for part in path:
        if isinstance(part, int):  # an element of a list of records, which are all of one kind
            continue
        if get_origin(current) is dict:
            current = get_args(current)[1]
        elif hasattr(current, "model_fields") and part in current.model_fields:
            current = current.model_fields[part].annotation
        else:
            return []
        if not hasattr(current, "model_fields") and get_origin(current) is not dict:
            tag = next((loc for loc in item["loc"] if _is_tag(loc)), None)
            options = [a for a in get_args(current) if hasattr(a, "model_fields")]
            named = [a for a in options if tag is None or a.model_fields["name"].default == tag]
            current = named[0] if named else (options[0] if options else current)
    return list(getattr(current, "model_fields", {}))
