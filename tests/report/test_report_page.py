"""The report's page as text: what it says, that it asks nobody for anything, and that no label becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedskew.analysis import results_table
from fedskew.errors import FedskewError
from fedskew.report.evidence import gather
from fedskew.report.figures.style import contrast
from fedskew.report.page.content import build_content
from fedskew.report.page.render import render_page
from fedskew.report.write import write_report
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder
from report_helpers import EVIL, FACTORIAL, PAPER_AXES, STUDIES, complete, make_study, page_of, shared_folder

VOID = {"meta", "link", "img", "input", "br"}


class Document(HTMLParser):
    """The elements of a page, in their order, with attributes and the text inside."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.source = page.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    @property
    def words(self) -> str:
        """All that is to be read, in one line."""
        body = self.source.partition("<body>")[2].partition('<script type="application/json"')[0]
        return " ".join(re.sub(r"<[^>]*>", " ", body).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_folder(tmp_path_factory)


@pytest.mark.parametrize("name", STUDIES)
def test_a_page_is_self_contained_and_well_formed(reports: Path, name: str) -> None:
    page = Document(page_of(name, reports))
    assert page._open == []

    # Nothing is asked for, and no attribute carries a style or a script.
    for tag, attributes in page.elements:
        for key, value in attributes.items():
            assert key != "style", tag
            assert not key.startswith("on"), tag
            if key in ("src", "href"):
                assert re.match(r"(#|data:)", value or ""), f"<{tag} {key}={value}>"
    assert "url(" not in page.source.replace("url(#", "")

    # The policy names exactly the style and the script that are there.
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert len(page.texts["style"]) == 1
    (script,) = [text for text, a in zip(page.texts["script"], page.all("script"), strict=True) if not a]
    for text in (page.texts["style"][0], script):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy

    # Ids are unique, what is referred to exists, and everything can be read without seeing it.
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert not [name for name, count in ids.items() if count > 1]
    for _, attributes in page.elements:
        for key in ("href", "aria-labelledby", "clip-path"):
            value = (attributes.get(key) or "").removeprefix("url(").removesuffix(")").removeprefix("#")
            if value and not value.startswith("data:"):
                assert value in ids, f"{key}={value}"
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert all(a.get("alt") for a in page.all("img"))
    assert all("aria-label" in a for a in page.all("svg"))
    assert len(page.source) < 5_000_000


def test_labels_stay_text(reports: Path) -> None:
    page = Document(page_of("any-axes", reports))
    assert EVIL not in page.source
    assert len(page.all("script")) == 2
    assert "b" not in {tag for tag, _ in page.elements}, "the class <b>owl</b>"
    shown = page.source.replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    for text in (EVIL, "<b>owl</b>"):
        assert text in shown
    assert "$x_1$" in page.source
    (data,) = [t for t, a in zip(page.texts["script"], page.all("script"), strict=True) if a]
    assert "<" not in data
    assert EVIL in json.loads(data)["curves"]["rounds-accuracy-0"]["curves"][0]["label"]


def test_numbers_are_those_of_the_records_and_name_their_runs(reports: Path) -> None:
    page = Document(page_of("paper", reports))
    folder = StudyFolder.read(reports / "paper")
    results = results_table(folder.planned, folder.path)
    cell = results[(results["alpha"] == 0.25) & (results["setting"] == "backdoor + RLR")]
    mean, std = 100 * cell["bias"].mean(), 100 * cell["bias"].std(ddof=1)
    told = f"bias {mean:.2f} ± {std:.2f} %\n95 % interval"
    (point,) = {text for text in page.texts["title"] if "backdoor + RLR, alpha 0.25\nbias" in text}
    assert told in point
    assert point.endswith("5 seeds: " + ", ".join(cell["run"]))
    assert "single seeds: " + ", ".join(f"{100 * value:.2f}" for value in cell["bias"]) in point
    assert f"{mean:.2f} ± {std:.2f}" in page.texts["td"]
    for run in results["run"]:
        assert f'id="run-{run}"' in page.source

    # The curve that the script reads: round 60, which all five seeds have, from the records themselves.
    chart = data_of(page)["curves"]["rounds-accuracy-2"]
    assert (chart["digits"], chart["unit"]) == (2, " %")
    curve = chart["curves"][2]
    assert curve["span"] == [1, 64], "rounds 1 to 64"
    at = 60 - 1
    by_seed = [
        100 * RunFolder.below(folder.path, run).read_records()[59].metrics["accuracy"] for run in cell["run"]
    ]
    assert curve["label"] == "backdoor + RLR"
    mean = np.cumsum(curve["mean"])[at] / 100
    assert mean == pytest.approx(np.mean(by_seed), abs=5e-3)
    assert mean - curve["low"][at] / 100 == pytest.approx(min(by_seed), abs=5e-3)
    assert mean + curve["high"][at] / 100 == pytest.approx(max(by_seed), abs=5e-3)
    assert (curve["seeds"][at], curve["seeds"][-1]) == (5, 1)


def test_every_seed_is_a_dot_of_its_series_and_the_mean_is_above_them(reports: Path) -> None:
    source = page_of("paper", reports).read_text(encoding="utf-8")
    for key, metric in (("axis", "accuracy"), ("skew-total-variation", "bias")):
        chart = source.partition(f'id="chart-over-{key}-{metric}"')[2].partition("</svg>")[0]
        dots = re.findall(
            r'<g class="quiet" data-series="(\d)" data-column="\d"><path class="dots stroke-c(\d)" '
            r'stroke-opacity="0.55" stroke-width="34" d="([^"]*)"/>',
            chart,
        )
        assert sorted(colour for _, colour, _ in dots) == sorted("012" * 3)
        assert all(series == colour and path.count("m") == 5 for series, colour, path in dots)
        assert chart.rindex("stroke-opacity") < chart.index('class="point"')
    curve = source.partition('id="chart-rounds-accuracy-0"')[2].partition("</svg>")[0]
    thin = re.findall(r'stroke-opacity="0.45" stroke-width="5" d="([^"]*)"', curve)
    assert [path.count("m") for path in thin] == [5, 5, 5], "a line for each seed"
    loss = source.partition('id="chart-rounds-test_loss-0"')[2].partition("</svg>")[0]
    assert 'stroke-width="5"' not in loss, "only of the metrics that come first"


def test_headings_name_the_axis(reports: Path) -> None:
    other, paper = (Document(page_of(name, reports)).words for name in ("any-axes", "paper"))
    assert "Over clients, or over a measured skew" in other
    assert "Over alpha, or over a measured skew" in paper
    assert "A smaller alpha means" in paper
    for words in ("heterogeneity", "more uneven"):
        assert words not in other


def data_of(page: Document) -> Any:
    (data,) = [text for text, a in zip(page.texts["script"], page.all("script"), strict=True) if a]
    return json.loads(data)


def test_the_paper_stands_beside_ours(reports: Path) -> None:
    page = Document(page_of("paper", reports))
    for table in ("I", "II", "III", "IV", "V"):
        assert f'id="table-paper-table-{table}"' in page.source
    assert "90.08 ± 0.17" in page.texts["td"]
    assert "The data is the official release." in page.words


def test_verdicts_and_what_is_distrusted_come_first(reports: Path) -> None:
    page = Document(page_of("paper", reports))
    words = page.words
    assert re.search(r"\d of \d+ claims hold", words)
    order = [
        page.source.index(f'id="{name}"') for name in ("summary", "distrust-title", "results", "figures")
    ]
    assert order == sorted(order)
    verdicts = [a for a in page.all("span") if (a.get("class") or "").startswith("verdict")]
    assert verdicts
    assert {(a["class"] or "").partition(" ")[2] for a in verdicts} <= {
        "holds",
        "does-not-hold",
        "not-decided",
    }


def test_an_unfinished_study_says_what_is_missing(reports: Path) -> None:
    words = Document(page_of("unfinished", reports)).words
    assert (
        "6 of 18 runs are complete, 1 run failed, 1 run under way or interrupted, 10 runs not started."
        in words
    )
    assert "No complete run: alpha 0.25, setting no attack; alpha 0.25, setting backdoor; alpha 0.25" in words
    assert "it &lt;b&gt;broke&lt;/b&gt;" in words


def test_many_missing_cells_are_folded(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes=FACTORIAL, seeds=[0])
    complete(folder, lambda plan: plan.cell["setting"] == "no attack" and plan.cell["alpha"] == 1.0)
    page = render_page(build_content(gather(folder)))
    assert "<summary>No complete run in 20 cells</summary>" in page
    assert "<li>alpha 0.25, setting backdoor + RLR, epochs 4</li>" in page


def test_a_study_without_a_complete_run(reports: Path) -> None:
    page = Document(page_of("nothing", reports))
    assert "No run of this study is complete, so there is nothing to conclude yet." in page.words
    assert 'id="figures"' not in page.source
    assert "0 of 6 runs are complete, 6 runs not started." in page.words
    assert page.texts["figcaption"], "the split can be drawn from the embedded digits"


def test_a_study_without_axes(reports: Path) -> None:
    page = Document(page_of("no-axes", reports))
    assert "Over " not in re.findall(r"<h3>(Over [^<]*)", page.source.replace("Over rounds", ""))
    assert "accuracy [%]" in page.texts["figcaption"]
    assert "all runs" in page.words


def test_data_that_is_not_official_is_named_beside_the_numbers(tmp_path: Path) -> None:
    line = "cifar-10/test_batch.bin: known variant: 59,799 of 60,000 images bit-identical to the official release"
    axes = {**PAPER_AXES, "alpha": {"field": "split.alpha", "values": [1.0]}}
    folder = make_study(tmp_path / "study", reference="cifar-10", seeds=[0], axes=axes)
    complete(folder, data=[line])
    content = build_content(gather(folder))
    page = render_page(content)
    text = page[page.index("Beside the paper") : page.index("Table I.")]
    assert line in text
    assert "not exactly the official release" in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("digits bundled with scikit-learn: official content (SHA-256 1)", ", official content."),
        ("cats.npz: the user's own content (SHA-256 2)", "the user's own files, named by their SHA-256"),
        ("fashion-mnist/x: unknown content (SHA-256 3)", "not, or not all, the official files"),
    ],
)
def test_whose_data_it_was(tmp_path: Path, line: str, words: str) -> None:
    folder = make_study(tmp_path / "study", seeds=[0], axes={})
    complete(folder, data=[line])
    page = render_page(build_content(gather(folder)))
    assert unescape(words) in unescape(page[: page.index("<main")])


def test_what_cannot_be_shown_without_code_or_data_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSKEW_DATA", str(tmp_path / "nothing"))
    axes = {"setting": {"variants": {"a": {}, "b": {"clients.count": 5}}}}
    plugged = {"data": "digits", "adversaries": {"count": 1}, "attack": "skew_no_such_module:attack"}
    missing = {
        "data": "fashion-mnist",
        "adversaries": {"count": 1},
        "attack": {"name": "backdoor", "target": 1},
    }
    clean = {"data": "digits"}
    for name, base, words in (
        (
            "plugged",
            plugged,
            "attack 'skew_no_such_module:attack' is a plug-in, which a report does not import",
        ),
        ("missing", missing, "because the data is not at hand: fashion-mnist is not complete"),
        ("clean", clean, "No run of this study has an attack with a trigger."),
    ):
        content = build_content(gather(make_study(tmp_path / name, axes=axes, base=base)))
        assert content.trojan is None
        assert words in content.no_trojan
        if name == "missing":
            assert not content.splits
            assert "is left out" in content.no_splits


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={}, seeds=[0])
    complete(folder)
    written = [write_report(folder, tmp_path / name) for name in ("first", "second")]
    files = [sorted(p.relative_to(w.page.parent) for p in w.page.parent.rglob("*.*")) for w in written]
    assert files[0] == files[1]
    assert {path.suffix for path in files[0]} == {".html", ".md", ".csv", ".tex", ".svg", ".png", ".jsonl"}
    for path in files[0]:
        first, second = ((w.page.parent / path).read_bytes() for w in written)
        assert first == second, path
    assert (tmp_path / "first/figures/rounds.svg").read_text().startswith("<?xml")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={}, seeds=[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(FedskewError, match=r"cannot write the report into .*file/report: Not a directory"):
        write_report(folder, tmp_path / "file/report")


# --- colours ----------------------------------------------------------------------------------------


def themes() -> list[dict[str, str]]:
    css = (Path(__file__).parents[2] / "src/fedskew/report/page/style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


@pytest.mark.parametrize("number", range(3), ids=["light", "dark", "print"])
def test_contrast(number: int) -> None:
    """WCAG 2.2 AA: 4.5 for text (1.4.3), 3 for what a figure is read by (1.4.11)."""
    theme = themes()[number]
    for ground in ("paper", "wash"):
        for text in ("ink", "muted", "link", "good", "bad", "open"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    for colour in (*(f"c{n}" for n in range(7)), "edge"):
        assert contrast(theme[colour], theme["paper"]) >= 3, colour
    if "focus" in theme:
        assert contrast(theme["focus"], theme["paper"]) >= 3


@pytest.mark.parametrize(
    ("seeds", "words"),
    [(2, "With fewer than three seeds no difference is tested"), (3, "None of the")],
)
def test_two_seeds_test_nothing(tmp_path: Path, seeds: int, words: str) -> None:
    """What the first two seeds show may be chance: neither the page nor its tables have a p-value of it."""
    axes = {"setting": {"variants": {"a": {}, "b": {"training.epochs": 2}}}}
    folder = make_study(tmp_path / "study", axes=axes, seeds=list(range(seeds)))
    complete(folder)
    write_report(folder)
    assert words in (folder.path / "report" / "index.html").read_text(encoding="utf-8")
    table = pd.read_csv(folder.path / "report" / "tables" / "differences.csv")
    assert table["p_holm"].isna().all() == (seeds < 3)
