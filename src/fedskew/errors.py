"""The errors a user can cause, each one clear sentence with an optional hint (docs/design.md, rule 5)."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path


class FedskewError(Exception):
    """Bad input or an impossible request: printed as one sentence, no traceback.

    ``exit_code`` is what the process ends with: 2 where what was given is wrong.

    Args:
        message: which field, file or client; what was expected.
        hint: what to do, or the nearest valid name; printed on a line of its own as ``hint: ...``.

    >>> print(FedskewError("rounds: -1 is below 1", "how many rounds there are at most"))
    rounds: -1 is below 1
    hint: how many rounds there are at most
    """

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class ConfigError(FedskewError):
    """A field, name or value of a config that is unknown, malformed or impossible.

    Args:
        field: its dotted path, if the error is about one, so that a caller who has the file can name the line.

    >>> import fedskew
    >>> try:
    ...     fedskew.Experiment(rounds=-1)
    ... except ConfigError as error:
    ...     print(error.field)
    rounds
    """

    def __init__(self, message: str, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message, hint)
        self.field = field


class DataError(FedskewError):
    """A data file that is missing, truncated, corrupt or not what its name says."""


class DownloadError(DataError):
    """Data that no server gave, though nothing is wrong with what was asked for. Exit code 1."""

    exit_code = 1


class PartitionError(FedskewError):
    """A split that cannot be made: names alpha, the number of clients and the smallest shard."""


class RunError(FedskewError):
    """A run or study folder that cannot be used: locked, changed or damaged."""


class HeldError(RunError):
    """A folder that another process works in at the moment."""


class FailedRunError(RunError):
    """A run that began and did not end well: it crashed, or its model is not finite. Exit code 1."""

    exit_code = 1


_RISES = ("increase", "raise", "grow", "gain", "climb")
_FALLS = ("decrease", "lower", "drop", "shrink", "reduce", "decline", "lose", "sink")
MEANT: dict[str, str | None] = {
    **dict.fromkeys(("worsens", "improves"), None),  # depends on the metric
    **{f"{verb}s": "rises" for verb in _RISES},
    **{f"{verb}s": "falls" for verb in _FALLS},
    **{f"does not {verb}": "does not rise" for verb in _RISES},
    **{f"does not {verb}": "does not fall" for verb in _FALLS},
    **dict.fromkeys(("defence", "defense", "aggregation"), "aggregator"),
    **dict.fromkeys(("partition", "partitioner"), "split"),
}
"""Other words for valid names, for which the nearest spelling is none of them or the opposite."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is meant by ``name`` or closest to it, or None if nothing is close."""
    names = list(valid)
    if name in MEANT and MEANT[name] in (None, *names):
        return MEANT[name]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None


def place_of(error: BaseException, *, own: bool = True) -> str:
    """Where an error was raised, "file, line N": if fedskew had called a user's function, such as a plug-in, the
    last place in the folder of that function, not in a library that it called or that called it.

    Args:
        own: whether a place in fedskew itself is named where there is no other; else the result is empty then.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    home = Path(__file__).resolve().parent
    ours = [number for number, f in enumerate(frames) if Path(f.filename).resolve().is_relative_to(home)]
    standard = Path(sysconfig.get_path("stdlib"))
    beyond = frames[ours[-1] + 1 :] if ours else frames
    installed = [f for f in beyond if {"site-packages", "dist-packages"} & {*Path(f.filename).parts}]
    local = [f for f in beyond if f not in installed and not Path(f.filename).is_relative_to(standard)]
    theirs = local or installed
    if theirs:
        folder = Path(theirs[0].filename).parent
        theirs = [f for f in theirs if Path(f.filename).is_relative_to(folder)]
    last = (theirs or (frames if own else []))[-1:]
    return f"{last[0].filename}, line {last[0].lineno}" if last else ""


def unknown(what: str, name: str, valid: Iterable[str]) -> tuple[str, str | None]:
    """Message and hint for an unknown name: it, the valid ones, and the nearest of them."""
    names = sorted(set(valid))
    close = nearest(name, names)
    message = f"unknown {what} {name!r}; valid: {', '.join(names) or '(none)'}"
    return message, None if close is None else f"did you mean {close!r}?"
