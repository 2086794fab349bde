"""Where the values of a config are: paths of fields, the line of a TOML text, errors that name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fedskew.errors import ConfigError

_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")


def split_path(path: str) -> list[str]:
    """``a.b."c d"`` as its parts."""
    return [part.strip().strip("\"'") for part in re.findall(r"""\s*("[^"]*"|'[^']*'|[^.]+)""", path)]


def line_of(text: str, path: Iterable[str | int]) -> int | None:
    """The 1-based line of a TOML text on which a field is given; of its table if it is not; else None.

    Works on keys and table headers, which is where people write fields; a field inside an inline table
    has the line of the table. The elements of an array of tables are counted from 0.
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
        overridden: the paths that ``--set`` has set; errors in those name no line of the file.
        prefix: the path of the values in the text.
        moved: for values that are elsewhere: path of a value -> its path in the text.
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
    """Adds file and line to errors about a field; other errors pass as they are."""
    try:
        yield
    except ConfigError as error:
        if error.field is None:
            raise
        path = re.sub(r"\[(\d+)\]", r".\1", error.field).split(".")
        error.message = f"{origin.at(path)}: {error.message}"
        raise
