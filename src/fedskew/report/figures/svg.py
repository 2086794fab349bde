"""A scene as an ``<svg>`` element for a page.

The page's policy allows no style attributes, and its own style sheet chooses the colours for light, dark and print:
known colours become classes. A page has a hundred figures or more, so they are short: one unit is a tenth of a
typographic point, and a path goes in whole units from place to place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from markupsafe import escape as escaped

from fedskew.report.figures.scene import SHAPES, Area, Group, Item, Line, Marks, Picture, Places, Scene, Words
from fedskew.report.figures.style import COLOURS, INK, MUTED, PAPER, RULE, SMALL
from fedskew.wording import visible

UNITS = 10
"""In a typographic point."""
PIXELS = 1.45
"""Of a page in a typographic point: letters of 9 points become 13 pixels. A narrow page makes the figure smaller."""
TOKENS = {colour: f"c{number}" for number, colour in enumerate(COLOURS)}
TOKENS |= {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}


def inline(scene: Scene, label: str) -> Markup:
    """A scene as an element of a page; ``label``: what it shows, for a screen reader."""
    box = f"0 0 {_units(scene.width)} {_units(scene.height)}"
    start = (
        f'<svg viewBox="{box}" width="{PIXELS * scene.width:.0f}" role="group" aria-label="{escape(label)}" '
        # What most of its words are like is said once.
        f'class="figure" font-size="{_units(SMALL)}" text-anchor="middle">'
    )
    return Markup(start + "".join(map(_element, scene.items)) + "</svg>")


def escape(text: str) -> Markup:
    """A text from outside as a part of a page."""
    return escaped(visible(text))


def _element(item: Item) -> str:
    match item:
        case Group():
            return _group(item)
        case Line():
            width = f'stroke-width="{_units(item.width)}"'
            dashes = " ".join(str(_units(length * item.width)) for length in item.dash)
            dashed = f' stroke-dasharray="{dashes}"' if item.dash else ""
            return f'<path {_paint("stroke", item.colour, item.opacity)} {width}{dashed} d="{_path(item.paths)}"/>'
        case Area():
            return f'<path {_paint("fill", item.colour, item.opacity)} d="{_outline(item.corners)}"/>'
        case Marks():
            return _marks(item)
        case Words():
            return _words(item)
        case Picture():
            raise ValueError("a page shows pictures as images, not in its figures")


def _group(group: Group) -> str:
    data = "".join(f' data-{key}="{escape(value)}"' for key, value in group.data.items())
    inside = "".join(map(_element, group.items))
    if group.told is not None:  # browsers show a title under the pointer without any script
        return (
            f'<g class="point" tabindex="0" role="img"{data}><title>{escape(group.told)}</title>{inside}</g>'
        )
    kind = ' class="quiet"' if group.quiet else ""
    return f"<g{kind}{data}>{inside}</g>"


def _marks(marks: Marks) -> str:
    if marks.shape == "o":  # round ends of lines without length
        paint = (
            f'{_paint("stroke", marks.colour, marks.opacity, "dots ")} stroke-width="{_units(marks.size)}"'
        )
        return f'<path {paint} d="{_path([[place, place] for place in marks.places])}"/>'
    corners = np.array(SHAPES[marks.shape]) * marks.size
    outlines = "".join(_outline(corners + place) for place in np.asarray(marks.places))
    return f'<path {_paint("fill", marks.colour, marks.opacity)} d="{outlines}"/>'


def _words(words: Words) -> str:
    x, y = map(_units, words.place)
    turn = f' transform="rotate(-90 {x} {y})"' if words.turned else ""
    anchor = "" if words.anchor == "middle" else f' text-anchor="{words.anchor}"'
    size = "" if words.size == SMALL else f' font-size="{_units(words.size)}"'
    paint = "" if words.colour == INK else f" {_paint('fill', words.colour, 1)}"
    return f'<text x="{x}" y="{y}"{size}{paint}{anchor}{turn}>{escape(words.text)}</text>'


def _paint(kind: str, colour: str, opacity: float, classes: str = "") -> str:
    """Attributes for a colour; ``classes``: further ones, for a colour of the palette."""
    known = f'class="{classes}{kind}-{TOKENS[colour]}"' if colour in TOKENS else f'{kind}="{colour}"'
    return known if opacity == 1 else f'{known} {kind}-opacity="{opacity:g}"'


def _path(lines: Sequence[Places]) -> str:
    """Lines as the ``d`` of a path. Each place is rounded, not each step, so that errors do not add up."""
    words, here = [], np.zeros(2, dtype=np.int64)
    for line in lines:
        places = _whole(line)
        # After "m", which begins a path from the corner of the figure, pairs of numbers are steps of a line.
        words.append("m" + _pairs(np.diff(places, axis=0, prepend=here[np.newaxis])))
        here = places[-1]
    return "".join(words)


def _outline(corners: Places) -> str:
    """A polygon as a part of the ``d`` of a path."""
    places = _whole(corners)
    return f"M{_pairs(places[:1])}l{_pairs(np.diff(places, axis=0))}z"


def _whole(places: Places) -> npt.NDArray[np.int64]:
    return np.rint(UNITS * np.asarray(places, dtype=np.float64)).astype(np.int64)


def _pairs(steps: npt.NDArray[np.int64]) -> str:
    return " ".join(f"{x} {y}" for x, y in steps.tolist()).replace(" -", "-")


def _units(length: float) -> int:
    return round(UNITS * length)
