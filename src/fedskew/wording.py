"""Parts of sentences that are written in one way everywhere: counts, articles, cells, durations."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any


def count(many: int, thing: str, things: str = "") -> str:
    """``1 run``, ``3 runs``; ``things`` is the plural where it is not formed so."""
    return f"{many} {thing if many == 1 else things or thing + 's'}"


def article(noun: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def cell_in_words(cell: Mapping[str, Any]) -> str:
    """``alpha 0.5, setting backdoor``: the labels of a cell by axis; empty for a cell without axes."""
    return ", ".join(f"{axis} {label}" for axis, label in cell.items())


def file_words(provenance: Iterable[str]) -> list[str]:
    """What a data set's files are, without checksums and the same words once: ``a.bin and 5 more: known variant``.

    Args:
        provenance: a line per file, ``NAME: WHAT IT IS (SHA-256 ...)``.
    """
    files: dict[str, list[str]] = {}
    for line in provenance:
        name, _, what = re.sub(r" \(SHA-256 [^)]*\)", "", line).partition(": ")
        files.setdefault(what, []).append(name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {what}"
        for what, names in files.items()
    ]


def duration(seconds: float) -> str:
    """``42 s``, ``7 min``, ``3.2 h``: how long something took; a dash for NaN."""
    if math.isnan(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """``3:20:05`` or ``7:05``: a time that is shown as a countdown."""
    hours, rest = divmod(int(seconds + 0.5), 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"


def visible(text: str) -> str:
    """A text with what cannot be seen in it spelled out, spaces, newlines and tabs apart: what a file or a plug-in says
    is not to colour, move or clear a terminal, to turn the direction of what is beside it, or to be no text at all.

    >>> visible("red \\x1b[31m, turned \\u202e, half a pair \\ud800")
    'red \\\\x1b[31m, turned \\\\u202e, half a pair \\\\ud800'
    """
    return text if text.isprintable() else "".join(map(_seen, text))


def in_one_line(text: str) -> str:
    """As ``visible``, newlines and tabs too: for a cell of a table."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _seen(letter: str) -> str:
    if letter.isprintable() or letter in "\n\t\u200c\u200d" or unicodedata.category(letter) == "Zs":
        return letter
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def log_visibly() -> None:
    """What is logged and has no handler, which Python prints on standard error, is spelled out from now on too."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Visible())
