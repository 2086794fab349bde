"""The picture of a split: it is written, in the format of its name, and marks adversaries in words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedskew.errors import FedskewError
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.report.figures.files import SETTINGS
from fedskew.report.figures.metrics_picture import metrics_picture
from fedskew.report.figures.splits import split_caption, split_picture
from fedskew.study.splits import Split
from report_helpers import PAPER_AXES, complete, make_study

STARTS = {".png": b"\x89PNG\r\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}


def split(
    clients: int = 4, classes: int = 3, malicious: tuple[int, ...] = (1,), title: str = "alpha 1.0"
) -> Split:
    counts = np.random.default_rng(0).integers(0, 9, (clients, classes))
    counts[0] = 0  # a client without data
    names = tuple(f"class {i}" for i in range(classes))
    return Split((title,), 0, names, counts, malicious, 0, heterogeneity(counts))


@pytest.mark.parametrize("ending", STARTS)
def test_the_ending_chooses_the_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"split{ending}"
    split_picture([split(), split(title="alpha 0.5")], path)
    assert path.read_bytes().startswith(STARTS[ending])


@pytest.fixture
def svg_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters stay letters in the .svg."""
    monkeypatch.setitem(SETTINGS, "svg.fonttype", "none")


@pytest.mark.usefixtures("svg_text")
def test_the_picture_says_what_it_shows(tmp_path: Path) -> None:
    shown = split()
    split_picture([shown], tmp_path / "split.svg")
    text = (tmp_path / "split.svg").read_text()
    for words in (
        "1 (adversary)",
        "class 2",
        "alpha 1.0",
        f"total variation {shown.measures.total_variation:.2f}",
    ):
        assert words in text
    assert "2 (adversary)" not in text


@pytest.mark.usefixtures("svg_text")
def test_clients_with_names_are_shown_by_them(tmp_path: Path) -> None:
    shown = replace(split(), names=("Ann", "Klinikum rechts der Isar", "Bob", "Cleo"))
    split_picture([shown], tmp_path / "split.svg")
    text = (tmp_path / "split.svg").read_text()
    assert all(f">{name}<" in text for name in ("Ann", "Klinikum …der Isar (adversary)", "Cleo"))
    assert ">2<" not in text


@pytest.mark.usefixtures("svg_text")
def test_of_many_clients_some_are_drawn_and_said_to_be(tmp_path: Path) -> None:
    shown = split(clients=60, malicious=(3, 50))
    split_picture([shown], tmp_path / "split.svg")
    text = re.sub(r"</text>.*?<text[^>]*>", " ", (tmp_path / "split.svg").read_text(), flags=re.DOTALL)
    words = (
        "; 40 of 60 clients are drawn: the adversaries, then honest ones from the largest to the smallest, "
    )
    words += "evenly spaced"
    assert words in text
    assert words in split_caption(shown)
    drawn = re.search(r"evenly spaced (3 .*) class", text)
    assert drawn
    named = [int(word) for word in drawn[1].replace(" (adversary)", "").split() if word.isdigit()]
    assert named[:2] == [3, 50], "adversaries first"
    sizes = shown.counts.sum(axis=1)[named[2:40]]
    assert (np.diff(sizes) <= 0).all()
    assert (sizes[0], sizes[-1]) == (
        shown.counts.sum(axis=1)[[k for k in range(60) if k not in (3, 50)]].max(),
        0,
    )


def test_of_many_adversaries_classes_and_splits_some_are_drawn(tmp_path: Path) -> None:
    shown = split(clients=60, classes=100, malicious=tuple(range(20)))
    caption = split_caption(shown)
    assert "40 of 60 clients are drawn: 10 of 20 adversaries, then honest ones" in caption
    assert "30 of 100 classes are drawn, evenly spaced" in caption
    split_picture([shown] * 30, tmp_path / "split.svg")
    assert (tmp_path / "split.svg").stat().st_size < 5_000_000


def test_five_panels_and_special_characters_in_titles(tmp_path: Path) -> None:
    titles = ["a $x_1 b", "100 %", "$", "ü_{", "\\frac"]
    split_picture([split(title=title) for title in titles], tmp_path / "split.png")
    assert (tmp_path / "split.png").stat().st_size > 1000


def test_splits_of_different_sizes_share_a_picture(tmp_path: Path) -> None:
    """An axis over ``clients.count``, or over data sets with different classes."""
    split_picture([split(clients=3), split(clients=5, classes=4)], tmp_path / "split.png")
    assert (tmp_path / "split.png").exists()


def test_a_split_in_which_nobody_holds_anything(tmp_path: Path) -> None:
    counts = np.zeros((2, 2), dtype=np.int64)
    nothing = Split(("none",), 0, ("a", "b"), counts, (), 0, split().measures)
    split_picture([nothing], tmp_path / "split.png")


def test_an_unknown_ending_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FedskewError, match=r"cannot write the picture .*split\.foo"):
        split_picture([split()], tmp_path / "split.foo")
    assert not (tmp_path / "split.foo").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FedskewError, match="cannot write the picture"):
        split_picture([split()], tmp_path / "file" / "split.png")


@pytest.mark.parametrize("ending", STARTS)
def test_the_metrics_over_the_studys_axis(tmp_path: Path, ending: str) -> None:
    folder = make_study(tmp_path / "study", axes={"alpha": PAPER_AXES["alpha"]})
    with pytest.raises(FedskewError, match="nothing to draw"):
        metrics_picture(folder, [], tmp_path / f"metrics{ending}")
    complete(folder)
    metrics_picture(folder, [], tmp_path / f"metrics{ending}")
    assert (tmp_path / f"metrics{ending}").read_bytes().startswith(STARTS[ending])
    with pytest.raises(FedskewError, match="unknown metric 'biass'"):
        metrics_picture(folder, ["biass"], tmp_path / f"metrics{ending}")
