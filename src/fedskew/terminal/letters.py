"""Letters that the encoding of a terminal or a pipe lacks, in ones that it has: ``±`` as ``+-``, a dash as ``-``."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

PLAIN = {
    "±": "+-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
}
HANDLER = "fedskew-plain"


def write_in_any_encoding() -> None:
    """Lets standard output and error take every letter, whatever their encoding; UTF-8, which has them all, is left as
    it is."""
    codecs.register_error(HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors=HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that cannot be encoded: without their accents, or a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    found = (PLAIN.get(one) or unicodedata.normalize("NFKD", one) for one in letters)
    return "".join(one.encode("ascii", "ignore").decode("ascii") or "?" for one in found), error.end
