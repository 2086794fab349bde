"""One panel of a figure: two scales, their axes, and from values to places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedskew.report.figures.scene import Item, Line, Place, Words
from fedskew.report.figures.style import LETTERS, MUTED, RULE, SMALL, text_width

MIDDLE = 0.36
"""Half the height of a capital letter in sizes of the font: how far below a place a text is written to lie on it."""
TICK = 3.0
Tick = tuple[float, str]
"""(value, what is written beside it)"""


@dataclass(frozen=True)
class Scale:
    """From values between ``first`` and ``last`` to places between ``start`` and ``end``; either may be the larger."""

    first: float
    last: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The places of values."""
        found = np.asarray(values, dtype=np.float64)
        first, last = self.first, self.last
        if self.logarithmic:
            found, first, last = np.log(found), math.log(first), math.log(last)
        return self.start + (found - first) / (last - first) * (self.end - self.start)


@dataclass
class Panel:
    """A frame (left, top, right, bottom), its scales, and what has been put into it so far."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale
    items: list[Item] = field(default_factory=list)

    def places(self, xs: npt.ArrayLike, ys: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """[n, 2]: the places of pairs of values."""
        return np.stack(np.broadcast_arrays(self.x(xs), self.y(ys)), axis=-1).reshape(-1, 2)

    def place(self, x: float, y: float) -> Place:
        """The place of one pair of values."""
        return float(self.x(x)), float(self.y(y))

    def add_axes(self, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], turned: bool = False) -> None:
        """Lines across, the frame's left and lower side, ticks and their words.

        Args:
            turned: whether the words below read upwards; of others, those that would touch the last one are left out.
        """
        down, across = [self.y(value).item() for value, _ in y_ticks], self.x([v for v, _ in x_ticks])
        self.items.append(Line([[(self.left, y), (self.right, y)] for y in down], RULE, 0.6))
        sides: list[list[Place]] = [
            [(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)]
        ]
        sides += [[(self.left - TICK, y), (self.left, y)] for y in down]
        sides += [[(x, self.bottom), (x, self.bottom + TICK)] for x in map(float, across)]
        self.items.append(Line(sides, MUTED, 0.7))
        for (_, word), y in zip(y_ticks, down, strict=True):
            self.items.append(Words((self.left - TICK - 3, y + MIDDLE * SMALL), word, SMALL, "end"))
        below, free = self.bottom + TICK + 2.5, -math.inf
        for x, word in sorted((float(x), word) for (_, word), x in zip(x_ticks, across, strict=True)):
            if turned:
                self.items.append(Words((x + MIDDLE * SMALL, below), word, SMALL, "end", turned=True))
                continue
            lines = word.split("\n")
            half = max(text_width(line, SMALL) for line in lines) / 2
            if x - half < free:
                continue
            free = x + half + 3
            for number, line in enumerate(lines):
                at = below + 0.75 * SMALL + 1.15 * SMALL * number
                self.items.append(Words((x, at), line, SMALL, "middle"))

    def add_x_label(self, text: str, depth: float = 1.15 * SMALL) -> None:
        """Below the words of the ticks, which are so high."""
        at = self.bottom + TICK + 2.5 + depth + 3 + 0.75 * LETTERS
        self.items.append(Words(((self.left + self.right) / 2, at), text, LETTERS, "middle"))

    def add_y_label(self, text: str, x: float) -> None:
        """Beside the panel, reading upwards."""
        self.items.append(Words((x, (self.top + self.bottom) / 2), text, LETTERS, "middle", turned=True))

    def add_level(self, y: float) -> None:
        """A dashed line across, at a value that others are to be compared with."""
        at = self.y(y).item()
        self._add_dashed([(self.left, at), (self.right, at)])

    def add_levels(self, values: Sequence[Place]) -> None:
        """The same through (x, y) values; across where there is but one."""
        if len(values) == 1:
            self.add_level(values[0][1])
        else:
            self._add_dashed([self.place(*one) for one in values])

    def _add_dashed(self, places: Sequence[Place]) -> None:
        self.items.append(Line([places], MUTED, 0.9, (4.0, 2.5)))

    def add_title(self, *lines: str) -> None:
        """Above the panel."""
        for number, text in enumerate(reversed(lines)):
            self.items.append(Words((self.left, self.top - 6 - 12 * number), text, LETTERS + 0.5))


def y_limits(low: float, high: float, *, share: bool) -> tuple[float, float]:
    """Room around the values of a y axis; a share in percent is never shown below -2 or above 102."""
    if not low <= high:  # nothing was measured
        return 0.0, 1.0
    room = max(0.06 * (high - low), 0.01 * max(abs(low), abs(high)), 1e-9)
    low, high = low - room, high + room
    return (max(low, -2.0), min(high, 102.0)) if share else (low, high)
