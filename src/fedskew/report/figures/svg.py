"""Figures as files, and as SVG inside a page.

matplotlib writes an SVG with style attributes, a style sheet and its own ids. A page with a strict content
security policy refuses the first two, and ids of two figures would collide. ``inline`` therefore turns styles into
attributes, gives known colours a class in their place, so that the page can choose other ones for dark screens, makes
each id the figure's own, and lets chosen groups carry exact values for a pointer or a keyboard. A page has a hundred
charts or more, so what costs most is written short: paths, ids, groups that group nothing.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fedskew.errors import FedskewError
from fedskew.files import replace_file
from fedskew.report.figures.style import COLOURS, INK, MUTED, PAPER, RULE

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
TOKENS = {colour: f"c{number}" for number, colour in enumerate(COLOURS)}
TOKENS |= {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
DROPPED = {"font-family", "font", "mix-blend-mode", "image-rendering"}


def save(figure: Figure, path: Path, dpi: int = 300) -> None:
    """Writes a figure; the ending chooses the format. The same figure gives the same bytes.

    Raises:
        FedskewError: the format is unknown or the file cannot be written.
    """
    FigureCanvasAgg(figure)
    kind = path.suffix[1:].lower()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    try:
        content = io.BytesIO()
        figure.savefig(content, format=kind or None, dpi=dpi, metadata=metadata)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())
    except (OSError, ValueError) as error:
        raise FedskewError(f"cannot write the picture {path}: {error}") from None


def inline(
    figure: Figure, name: str, label: str, groups: Mapping[str, Mapping[str, str]] | None = None
) -> Markup:
    """A figure as an ``<svg>`` element for a page. Call it within ``figure_style("text")``.

    Args:
        name: of the figure in the page; goes before every id in it.
        label: what the figure shows, for a screen reader.
        groups: gid of an artist -> attributes of its group. ``title`` becomes a ``<title>`` element, which
            browsers show under the pointer without any script; the group can then be reached by keyboard too.
    """
    content = io.StringIO()
    figure.savefig(content, format="svg", dpi=72, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(content.getvalue())
    for child in list(root):
        if child.tag == f"{SVG}metadata" or child.find(f"{SVG}style") is not None:
            root.remove(child)
    wanted, ids = groups or {}, _Ids(name)
    for element in root.iter():
        _plain(element, ids, wanted.get(element.get("id", "")))
    _ungroup(root)
    box = root.get("viewBox", "0 0 100 100")
    root.attrib.clear()
    root.attrib |= {"viewBox": box, "role": "group", "aria-label": label}
    # Letters of 9 points become 13 pixels; a narrow page makes the figure smaller.
    root.attrib |= {"width": f"{1.45 * float(box.split()[2]):.0f}"}
    root.attrib |= {"stroke-linejoin": "round", "class": "figure", "id": name}
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


class _Ids:
    """Short ids instead of matplotlib's, which no two figures of a page share."""

    def __init__(self, name: str) -> None:
        self.prefix, self.found = f"f{zlib.crc32(name.encode()):x}-", dict[str, str]()

    def __call__(self, own: str) -> str:
        return self.found.setdefault(own, f"{self.prefix}{len(self.found)}")


def _ungroup(element: ElementTree.Element) -> None:
    """Replaces a group without attributes by its children, and drops what draws nothing."""
    children: list[ElementTree.Element] = []
    for child in element:
        if child.tag == "path" and len(re.findall(r"-?[\d.]+", child.get("d", ""))) == 2:
            continue  # one point without a line, which shows nothing
        _ungroup(child)
        children += list(child) if child.tag == "g" and not child.attrib else [child]
    element[:] = children


def _plain(element: ElementTree.Element, ids: _Ids, attributes: Mapping[str, str] | None) -> None:
    """One element without namespaces, styles and foreign ids."""
    element.tag = element.tag.removeprefix(SVG)
    if element.text and not element.text.strip():
        element.text = None
    if element.tail and not element.tail.strip():
        element.tail = None
    if "d" in element.attrib:
        element.set("d", _short(element.get("d", "")))
        if circle := CIRCLE.fullmatch(element.get("d", "")):
            element.tag = "circle"
            del element.attrib["d"]
            element.set("r", circle[1])
    classes = []
    for item in element.attrib.pop("style", "").split(";"):
        prop, _, value = (part.strip() for part in item.partition(":"))
        if not prop or prop in DROPPED:
            continue
        if prop in ("fill", "stroke") and value in TOKENS:
            classes.append(f"{prop}-{TOKENS[value]}")
        else:
            element.set(prop, value.removesuffix("px") if prop == "font-size" else value)
    filled = "fill" in element.attrib or any(one.startswith("fill-") for one in classes)
    if element.tag == "text" and not filled:  # matplotlib does not write black
        classes.append("fill-ink")
    if classes:
        element.set("class", " ".join(classes))
    if (target := element.attrib.pop(HREF, None)) is not None:
        element.set("href", f"#{ids(target[1:])}" if target.startswith("#") else target)
    if "clip-path" in element.attrib:
        clip = element.get("clip-path", "").removeprefix("url(#").removesuffix(")")
        element.set("clip-path", f"url(#{ids(clip)})")
    if "id" in element.attrib:
        own = element.attrib.pop("id")
        if element.tag != "g":  # groups are found by their attributes; what is referred to keeps an id
            element.set("id", ids(own))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    for place in ("x", "y", "transform"):
        if place in element.attrib and not re.search("scale|matrix", element.get(place, "")):  # lengths alone
            element.set(place, _rounded(element.get(place, "")))
    if attributes:
        _mark(element, attributes)


def _mark(group: ElementTree.Element, attributes: Mapping[str, str]) -> None:
    title = attributes.get("title")
    group.attrib |= {key: value for key, value in attributes.items() if key != "title"}
    if title is not None:
        group.attrib |= {"tabindex": "0", "role": "img", "aria-label": title.replace("\n", "; ")}
        group.attrib["class"] = f"{group.get('class', '')} point".strip()
        told = ElementTree.Element("title")
        told.text = title
        group.insert(0, told)


CIRCLE = re.compile(r"M0 ([\d.]+)(?:C[^CLMz]+){8}z")
"""The circle of matplotlib's round marker: eight curves around the origin, from its lowest point."""
LINES = re.compile(r"(?: *[ML] *-?[\d.]+ +-?[\d.]+| *z)+ *")


def _short(path: str) -> str:
    """A path of straight lines from point to point in whole tenths of a typographic point, each step rounded so that
    errors do not add up; any other, such as a small marker, with two decimals."""
    path = " ".join(path.split())
    if not LINES.fullmatch(path):
        return _tight(_rounded(path))
    words: list[str] = []
    here = start = (0, 0)
    for command, x, y in re.findall(r"([MLz])(?: *(-?[\d.]+) +(-?[\d.]+))?", path):
        if command == "z":
            words.append("z")
            here = start
            continue
        there = (round(10 * float(x)), round(10 * float(y)))
        # After "m", pairs of numbers are steps of a line; after "z" a new part begins.
        words.append("m" if command == "M" else "l" if words[-1] == "z" else " ")
        words.append(f"{(there[0] - here[0]) / 10:g} {(there[1] - here[1]) / 10:g}")
        here, start = there, there if command == "M" else start
    return _tight("".join(words))


def _tight(path: str) -> str:
    """A path without what its grammar does not need: zeros before a point, spaces beside letters and signs."""
    path = re.sub(r"(?<![\d.])0\.", ".", path)
    return re.sub(r" ?([A-Za-z]) ?", r"\1", path).replace(" -", "-")


def _rounded(text: str) -> str:
    """A text with two decimals in its numbers, which is a hundredth of a typographic point."""
    return re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text)
