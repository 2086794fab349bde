"""How every figure looks: one palette, one set of markers and lines, one type size.

The colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which colour-blind readers can tell
apart; series differ by marker as well, so that nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vPX"
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))

INK, MUTED, RULE, PAPER = "#1b1f24", "#59636e", "#d4d9de", "#ffffff"
"""Text, secondary text, grid lines and background of a figure; the page has its own for dark screens."""

HONEST, MALICIOUS = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Look:
    """How one series is drawn."""

    colour: str
    marker: str
    line: Any


def look(number: int) -> Look:
    """The look of the n-th series: the first seven differ in colour and marker, the next in the line too."""
    turn = number // len(COLOURS)
    return Look(
        COLOURS[number % len(COLOURS)],
        MARKERS[(number + turn) % len(MARKERS)],
        LINES[turn % len(LINES)],
    )


@contextmanager
def figure_style(letters: Literal["text", "paths"] = "paths") -> Iterator[None]:
    """matplotlib's settings while a figure is made and saved; what was set before is put back.

    Args:
        letters: of an SVG: "paths" look the same everywhere, "text" is small, searchable and in the page's font.
    """
    settings: Any = {  # matplotlib's own type lists every setting by name
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.titley": None if letters == "paths" else 1.0,  # a chart in the page has its title outside
        "axes.labelsize": 9,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "text.color": INK,
        "text.parse_math": False,  # a label is a user's text: a dollar sign in it is a dollar sign
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "lines.markersize": 5.5,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "savefig.facecolor": "auto",
        "svg.fonttype": "none" if letters == "text" else "path",
        "svg.hashsalt": "fedskew",  # the same figure is the same file
        "path.simplify": True,
    }
    with mpl.rc_context(settings):
        yield


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    bright, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def percent_limits(axes: Axes, low: float, high: float, *, share: bool) -> None:
    """Room around the values of a y axis; a share in percent is never shown below 0 or above 100."""
    if not low <= high:  # nothing was measured
        return
    room = max(0.06 * (high - low), 0.01 * max(abs(low), abs(high)), 1e-9)
    low, high = low - room, high + room
    if share:
        low, high = max(low, -2.0), min(high, 102.0)
    axes.set_ylim(low, high)
