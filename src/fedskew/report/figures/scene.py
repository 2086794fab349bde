"""What a figure is made of: lines, areas, marks and words at their places, before anything is drawn.

A scene knows no file format. ``svg`` writes it into a page, ``files`` draws it into a file. Lengths are typographic
points (1/72 inch); a place is (x, y) from the upper left corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedskew.report.figures.style import INK, LETTERS

Place: TypeAlias = tuple[float, float]
Places: TypeAlias = Sequence[Place] | npt.NDArray[np.float64]
"""[n, 2]"""

SHAPES: dict[str, tuple[Place, ...]] = {
    "s": ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)),
    "D": ((0, -0.68), (0.68, 0), (0, 0.68), (-0.68, 0)),
    "^": ((0, -0.6), (0.6, 0.5), (-0.6, 0.5)),
    "v": ((0, 0.6), (0.6, -0.5), (-0.6, -0.5)),
    "P": tuple(
        (x / 6, y / 6)
        for x, y in (
            (-1, -3.4), (1, -3.4), (1, -1), (3.4, -1), (3.4, 1), (1, 1),
            (1, 3.4), (-1, 3.4), (-1, 1), (-3.4, 1), (-3.4, -1), (-1, -1),
        )
    ),
    "X": tuple(
        (x / 6, y / 6)
        for x, y in (
            (-3.1, -1.7), (-1.7, -3.1), (0, -1.4), (1.7, -3.1), (3.1, -1.7), (1.4, 0),
            (3.1, 1.7), (1.7, 3.1), (0, 1.4), (-1.7, 3.1), (-3.1, 1.7), (-1.4, 0),
        )
    ),
}  # fmt: skip
"""The corners of each mark of size 1 but the disc, ``"o"``."""


@dataclass(frozen=True)
class Line:
    """Lines through places, each from its first to its last.

    Attributes:
        dash: dashes and gaps in turn, in widths of the line; () for a solid one.
    """

    paths: Sequence[Places]
    colour: str
    width: float = 1.6
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    corners: Places
    colour: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Marks:
    """The same mark at several places; ``shape`` is "o" or one of ``SHAPES``, ``size`` its diameter."""

    places: Places
    shape: str
    colour: str
    size: float = 5.5
    opacity: float = 1.0


@dataclass(frozen=True)
class Words:
    """One line of text; its place is on the baseline, where ``anchor`` says.

    Attributes:
        turned: whether it reads upwards.
    """

    place: Place
    text: str
    size: float = LETTERS
    anchor: Literal["start", "middle", "end"] = "start"
    colour: str = INK
    turned: bool = False


@dataclass(frozen=True)
class Picture:
    """Pixels, uint8 [height, width, 3], stretched over a box (left, top, right, bottom) without smoothing."""

    box: tuple[float, float, float, float]
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Group:
    """Things that belong together.

    Attributes:
        data: what a page's script finds it by, e.g. {"series": "0"}.
        told: what it says under the pointer and to a keyboard; None for nothing.
        quiet: whether the pointer goes through it.
    """

    items: Sequence[Item]
    data: Mapping[str, str] = field(default_factory=dict)
    told: str | None = None
    quiet: bool = False


Item: TypeAlias = Line | Area | Marks | Words | Picture | Group


@dataclass(frozen=True)
class Scene:
    """A whole figure."""

    width: float
    height: float
    items: Sequence[Item]


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Place]:
    """Its corners."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
