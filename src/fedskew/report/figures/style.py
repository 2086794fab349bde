"""How every figure looks: one palette, one set of markers and lines, one type size.

The colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which colour-blind readers can tell
apart; series differ by marker as well, so that nothing is said by colour alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vPX"
LINES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1.2), (5, 1.5, 1.2, 1.5))
"""Dashes and gaps in turn, in widths of the line; () is a solid one."""

INK, MUTED, RULE, PAPER = "#1b1f24", "#59636e", "#d4d9de", "#ffffff"
"""Text, secondary text, grid lines and background of a figure; the page has its own for dark screens."""

HONEST, MALICIOUS = COLOURS[0], COLOURS[1]

LETTERS, SMALL = 9.0, 8.5
"""Size of a label and of what stands beside a tick, in points."""

SHADES = (
    "#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958", "#fee838",
)  # fmt: skip
"""The cividis scale (Nunez, Anderton & Renslow 2018), in eighths: it looks alike with and without colour-blindness
and in print."""


@dataclass(frozen=True)
class Look:
    """How one series is drawn: its colour, the shape of its marks, the dashes of its line."""

    colour: str
    marker: str
    line: tuple[float, ...]


def look(number: int) -> Look:
    """The look of the n-th series: the first seven differ in colour and marker, the next in the line too."""
    turn = number // len(COLOURS)
    return Look(
        COLOURS[number % len(COLOURS)],
        MARKERS[(number + turn) % len(MARKERS)],
        LINES[turn % len(LINES)],
    )


def shade(share: float) -> str:
    """The colour of a value from 0 to 1 on the scale ``SHADES``, linear between its entries."""
    place = min(max(share, 0.0), 1.0) * (len(SHADES) - 1)
    below = min(int(place), len(SHADES) - 2)
    first, second = _channels(SHADES[below]), _channels(SHADES[below + 1])
    mixed = (a + (place - below) * (b - a) for a, b in zip(first, second, strict=True))
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in mixed)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    bright, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> list[float]:
    """Red, green and blue of ``#rrggbb``, from 0 to 1."""
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


NARROW, WIDE = frozenset("fijlrtI.,:;'|!()[]{} "), frozenset("mwMW%@&±—…")


def text_width(text: str, size: float = LETTERS) -> float:
    """About how wide a text is, in points: near enough to keep labels apart in any sans-serif font."""
    ems = (0.36 if c in NARROW else 0.95 if c in WIDE or ord(c) >= 0x2E80 else 0.62 for c in text)
    return size * math.fsum(ems)


def cut(text: str, most: int) -> str:
    """A text of at most so many letters; what is cut is marked."""
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_middle(text: str, most: int) -> str:
    """A text of at most so many letters without its middle, for names that begin alike."""
    end = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"
