"""What is printed: the one place through which text goes to standard output and standard error.

Results go to standard output, everything else to standard error. Names, reasons and paths come from files and plug-ins:
in a text what cannot be seen is spelled out (``wording.visible``), in JSON everything but ASCII is escaped.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

from fedskew.wording import visible

if TYPE_CHECKING:
    from rich.console import Console

_results: TextIO | None = None


def results() -> TextIO:
    """Where results go: standard output, also while what others print to it goes elsewhere."""
    return _results or sys.stdout


def show(text: str = "", *, end: str = "\n", err: bool = False) -> None:
    """Prints a text: a result, or on standard error what is said of the way to it."""
    print(visible(text), end=end, file=sys.stderr if err else results(), flush=err)


def show_json(value: Any) -> None:
    """Prints a result as JSON on one line."""
    from fedskew.files import to_json  # lazy: what it imports takes a while

    print(to_json(value, ascii_only=True), file=results())


def console(*, err: bool = False, width: int | None = None) -> Console:
    """For tables and bars; rich honours NO_COLOR. No text is taken for its markup."""
    from fedskew.terminal.consoles import PlainConsole  # lazy: rich takes a while

    return PlainConsole(file=sys.stderr if err else results(), width=width, markup=False, emoji=False)


@contextmanager
def results_alone() -> Iterator[None]:
    """Inside, standard output is for results: what plug-ins and libraries print goes to standard error, from C and from
    processes that begin inside too."""
    global _results
    if _results is not None:  # inside another one
        yield
        return
    ours = sys.stdout
    with redirect_stdout(sys.stderr):
        if not _is_descriptor(ours, 1):  # no real one: a notebook, a test
            _results = ours
            try:
                yield
            finally:
                _results = None
            return
        ours.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        _results = os.fdopen(os.dup(kept), "w", encoding=ours.encoding, errors=ours.errors)
        try:
            yield
            _results.flush()
        finally:
            _flush_others(ours)
            os.dup2(kept, 1)
            os.close(kept)
            with suppress(OSError):  # nobody reads any more, or there is no room
                _results.close()
            _results = None


def _flush_others(stream: TextIO) -> None:
    """Writes what others have printed and is still in a buffer, Python's or that of C."""
    with suppress(OSError, ValueError):
        stream.flush()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False


def open_closed_streams() -> None:
    """Opens standard streams that are closed (``>&-``), to nothing: the next file that is opened would get their
    number, and what is printed would be written into it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
