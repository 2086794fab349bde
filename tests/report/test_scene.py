"""Scenes: what a page gets of them, what a file gets, where ticks stand; and that no setting of the user's matters."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from fedskew.report.chosen import evenly, extremes
from fedskew.report.figures.files import save_scene
from fedskew.report.figures.panel import Scale, y_limits
from fedskew.report.figures.scene import SHAPES, Area, Group, Line, Marks, Picture, Scene, Words, rectangle
from fedskew.report.figures.style import COLOURS, SHADES, cut, cut_middle, shade, text_width
from fedskew.report.figures.svg import inline
from fedskew.report.figures.ticks import nice_ticks, tick_words


def parsed(*items: object) -> ElementTree.Element:
    return ElementTree.fromstring(str(inline(Scene(40, 20, items), "a label")))  # type: ignore[arg-type]


# --- in a page --------------------------------------------------------------------------------------


def test_a_page_gets_no_styles_and_escaped_words() -> None:
    told = 'a <b> & "c"\nsecond line'
    words = Words((1, 2), "<x> $1_2", anchor="middle", turned=True)
    group = Group([Marks([(3, 4)], "s", COLOURS[1]), words], {"series": "3"}, told)
    text = str(inline(Scene(40, 20, [group]), "a label"))
    assert "style=" not in text
    assert "&lt;x&gt; $1_2" in text
    root = ElementTree.fromstring(text)
    assert (root.get("aria-label"), root.get("viewBox")) == (
        "a label",
        "0 0 400 200",
    )
    (found,) = root.iter("g")
    assert found.findtext("title") == told
    assert (found.get("tabindex"), found.get("role"), found.get("data-series")) == ("0", "img", "3")
    assert (found.get("class"), [e.get("class") for e in found.iter("path")]) == ("point", ["fill-c1"])
    (letters,) = found.iter("text")
    assert (letters.get("x"), letters.get("y"), letters.get("transform")) == ("10", "20", "rotate(-90 10 20)")


def test_a_quiet_group_lets_the_pointer_through() -> None:
    (group,) = parsed(Group([Area(rectangle(0, 0, 1, 1), "#123456", 0.5)], quiet=True)).iter("g")
    (area,) = group
    assert (group.get("class"), group.get("tabindex")) == ("quiet", None)
    assert (area.get("fill"), area.get("fill-opacity"), area.get("d")) == (
        "#123456",
        "0.5",
        "M0 0l10 0 0 10-10 0z",
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mark_lies_around_its_place(shape: str) -> None:
    """The corners of each, from steps back to places: within the mark's size, and on both sides."""
    places = [(10.0, 12.0), (30.0, 5.0)]
    (path,) = parsed(Marks(places, shape, COLOURS[0], 4.0)).iter("path")
    parts = re.findall(r"M([^l]*)l([^z]*)z", path.get("d", ""))
    assert len(parts) == 2
    for (start, steps), (x, y) in zip(parts, places, strict=True):
        moves = np.array(numbers(f"{start} {steps}")).reshape(-1, 2)
        corners = np.cumsum(moves, axis=0) / 10 - (x, y)
        assert len(corners) == len(SHAPES[shape])
        assert np.abs(corners).max() <= 0.7 * 4
        assert (corners.min(axis=0) < -1).all()
        assert (corners.max(axis=0) > 1).all()


def test_discs_are_round_ends_of_lines_without_length() -> None:
    (path,) = parsed(Marks([(1, 2), (3, 1)], "o", COLOURS[0], 3.4, 0.5)).iter("path")
    assert path.get("d") == "m10 20 0 0m20-10 0 0"
    assert (path.get("class"), path.get("stroke-opacity")) == ("dots stroke-c0", "0.5")
    assert path.get("stroke-width") == "34"


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+", path)]


def test_a_long_line_drifts_nowhere() -> None:
    """Each step of a thousand is rounded; the end is where it was, within half of a tenth."""
    points = np.random.default_rng(0).uniform(-200, 200, (1000, 2))
    (path,) = parsed(Line([points[:400], points[400:]], "#000000", dash=(2, 1))).iter("path")
    assert path.get("stroke-dasharray") == "32 16"
    walked = np.cumsum(np.array(numbers(path.get("d", ""))).reshape(-1, 2), axis=0) / 10
    assert np.abs(walked - points).max() < 0.051


# --- in a file --------------------------------------------------------------------------------------

EVERYTHING = Scene(
    120,
    60,
    [
        Line([[(5, 5), (50, 30)], [(60, 5), (60, 40)]], COLOURS[0], dash=(4, 2)),
        Area(rectangle(70, 5, 80, 30), COLOURS[1], 0.3),
        *(Marks([(10 + 15 * at, 45)], shape, COLOURS[2]) for at, shape in enumerate(("o", *SHAPES))),
        Words((5, 58), "a $x_1$ b – ü"),
        Words((118, 40), "up", turned=True, anchor="middle"),
        Group([Picture((90, 5, 110, 25), np.array([[[255, 0, 0]], [[0, 0, 255]]], dtype=np.uint8))]),
    ],
)


def pixel(path: Path, x: float, y: float) -> tuple[int, ...]:
    """Red, green and blue at a place of a .png of 72 dots per inch."""
    image = mpl.image.imread(path)
    return tuple(round(255 * channel) for channel in image[int(y), int(x), :3].tolist())


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_same_scene_is_the_same_file(tmp_path: Path, ending: str) -> None:
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    save_scene(EVERYTHING, first, second)
    assert first.read_bytes() == second.read_bytes()


def test_a_file_shows_what_is_where(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    save_scene(EVERYTHING, path, dpi=72)
    assert pixel(path, 100, 8) == (255, 0, 0), "the first line of a picture is above"
    assert pixel(path, 100, 22) == (0, 0, 255)
    assert pixel(path, 70, 45) == (0, 158, 115), "the fifth mark"
    assert pixel(path, 2, 2) == (255, 255, 255)
    light = pixel(path, 75, 15)
    assert light == (242, 206, 178), "an area that lets the paper through"


def test_settings_of_the_user_change_nothing(tmp_path: Path) -> None:
    save_scene(EVERYTHING, tmp_path / "a.png", tmp_path / "a.svg")
    with mpl.rc_context({"lines.antialiased": False, "path.sketch": (9, 9, 9), "savefig.facecolor": "red",
                         "savefig.bbox": "tight", "svg.fonttype": "none", "text.antialiased": False}):  # fmt: skip
        save_scene(EVERYTHING, tmp_path / "b.png", tmp_path / "b.svg")
        assert mpl.rcParams["svg.fonttype"] == "none", "and are put back"
    for ending in (".png", ".svg"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


# --- ticks and scales -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 100, "0 20 40 60 80 100"),
        (82.4, 98.3, "82.5 85.0 87.5 90.0 92.5 95.0 97.5"),
        (-0.3, 0.3, "−0.3 −0.2 −0.1 0.0 0.1 0.2 0.3"),
        (1e-5, 9e-5, "2e−05 4e−05 6e−05 8e−05"),
        (0, 5e7, "0 1e+07 2e+07 3e+07 4e+07 5e+07"),
        (0.4999, 0.5001, "0.49990 0.49995 0.50000 0.50005 0.50010"),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, words: str) -> None:
    found = tick_words(nice_ticks(low, high))
    if words.startswith(("2e", "0 1e")):
        words = words.replace("e+0", "e+0")
    assert " ".join(found) == words


@pytest.mark.parametrize("last", [1, 2, 3, 7, 40, 64, 97, 1000])
def test_ticks_of_rounds_are_whole(last: int) -> None:
    found = nice_ticks(1, last, most=6, whole=True)
    assert 1 <= len(found) <= 6
    assert all(value == int(value) and 1 <= value <= last for value in found)


def test_few_or_no_values_have_ticks_too() -> None:
    assert nice_ticks(3, 3) == [3]
    assert nice_ticks(float("nan"), float("nan")) == []
    assert tick_words([]) == []


def test_scales_go_from_values_to_places() -> None:
    assert Scale(0, 10, 100, 200)([0, 5, 10]).tolist() == [100, 150, 200]
    assert Scale(10, 0, 100, 200)([0, 10]).tolist() == [200, 100]
    assert Scale(1, 100, 0, 2, logarithmic=True)([1, 10, 100]) == pytest.approx([0, 1, 2])
    assert y_limits(0, 100, share=True) == (-2, 102)
    assert y_limits(float("nan"), float("nan"), share=True) == (0, 1)
    assert y_limits(1, 3, share=False) == pytest.approx((0.88, 3.12))


def test_colours_of_a_scale() -> None:
    assert [shade(place) for place in (-1, 0, 0.125, 1, 2)] == [*SHADES[:1] * 2, SHADES[1], *SHADES[-1:] * 2]
    assert shade(0.0625) == "#0d2d5e", "half way between the first two"


def test_words_are_cut_where_they_can_still_be_told_apart() -> None:
    assert cut("a long name", 6) == "a lon…"
    assert cut_middle("class number 17", 9) == "clas…r 17"
    assert (cut("short", 6), cut_middle("short", 6)) == ("short", "short")
    assert text_width("mmm") > text_width("iii")


# --- few of many ------------------------------------------------------------------------------------


def test_a_choice_of_few_keeps_the_ends_and_the_order() -> None:
    assert evenly([1, 2, 3], 3) == [1, 2, 3]
    assert evenly(list(range(11)), 3) == [0, 5, 10]
    assert evenly(list(range(5)), 4, [0, 0.1, 0.2, 0.3, 10]) == [0, 3, 4], "close ones are one"
    values = {name: float(at) for at, name in enumerate("abcdefg")}
    assert extremes("gabcdef", values, 5) == ["g", "a", "b", "e", "f"], "the first, two low and two high"
    assert extremes("gabcdef", {}, 3) == ["g", "a", "b"], "nothing is known of them"
    assert extremes("ab", {}, 3) == ["a", "b"]
