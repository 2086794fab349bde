"""The errors a user can cause, each one clear sentence with an optional hint (docs/design.md, rule 5)."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path


class FedskewError(Exception):
    """Bad input or an impossible request: printed as one sentence, exit code 2, no traceback.

    Args:
        message: which field, file or client; what was expected.
        hint: what to do, or the nearest valid name; printed on a line of its own as ``hint: ...``.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class ConfigError(FedskewError):
    """A field, name or value of a config that is unknown, malformed or impossible.

    Args:
        field: its dotted path, where one is to blame, so that a caller who has the file can name the line.
    """

    def __init__(self, message: str, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message, hint)
        self.field = field


class DataError(FedskewError):
    """A data file that is missing, truncated, corrupt or not what its name says."""


class PartitionError(FedskewError):
    """A split that cannot be made: names alpha, the number of clients and the smallest shard."""


class RunError(FedskewError):
    """A run or study folder that cannot be used: locked, changed or damaged."""


MEANT = {
    **dict.fromkeys(("increases", "increase", "raises", "grows", "higher", "up"), "rises"),
    **dict.fromkeys(("decreases", "decrease", "lowers", "drops", "shrinks", "lower", "down"), "falls"),
    **dict.fromkeys(("defence", "defense", "aggregation", "rule"), "aggregator"),
    "partition": "split",
    "partitioner": "split",
}
"""Other words for valid names, which no likeness of letters finds, or finds the opposite of."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is meant by ``name`` or closest to it, or None if nothing is close."""
    names = list(valid)
    if MEANT.get(name) in names:
        return MEANT[name]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return found[0] if found else None


def article(noun: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def place_of(error: BaseException) -> str:
    """Where an error was raised, "file, line N": in code that is neither fedskew's nor a library's if that took part,
    such as a plug-in. Empty if nothing is known."""
    frames = traceback.extract_tb(error.__traceback__)
    home = str(Path(__file__).resolve().parent)
    libraries = (home, *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")))
    own = [frame for frame in frames if not str(Path(frame.filename).resolve()).startswith(libraries)]
    last = (own or list(frames))[-1:]
    return f"{last[0].filename}, line {last[0].lineno}" if last else ""


def unknown(what: str, name: str, valid: Iterable[str]) -> tuple[str, str | None]:
    """Message and hint for an unknown name: it, the valid ones, and the nearest of them."""
    names = sorted(valid)
    close = nearest(name, names)
    message = f"unknown {what} {name!r}; valid: {', '.join(names) or '(none)'}"
    return message, None if close is None else f"did you mean {close!r}?"
