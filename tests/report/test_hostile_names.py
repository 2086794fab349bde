"""Names and texts from outside that try to be commands of a terminal, HTML, LaTeX, Markdown, formulas of a spreadsheet
or markup of rich's, at every place where one can stand, looked for in everything that is printed and written."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from fedskew.cli import app
from fedskew.cli.app import complain
from fedskew.errors import ConfigError
from fedskew.files import replace_file, to_json
from fedskew.report.evidence import gather
from fedskew.report.page.content import MOST_OWN, build_content
from fedskew.report.tables.sheet import Sheet, as_csv, render
from fedskew.runs.events import Ended, RoundDone, Started
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study
from fedskew.terminal.progress import display
from fedskew.wording import visible
from report_helpers import SETTINGS, make_study, record, write_run

NAME = "=1+1|a<img src=x onerror=alert(1)>\\input{x}%$_^~&#[red]x[/b]`[u](javascript:v)**"
"""Letters that can be seen, which may stand in the name of an axis or of one of its points."""
UNSEEN = "\x1b[2J\x07\x00\x9b31m\ufffe\u202e\u2028\x7f\r"
FREE = NAME + UNSEEN
"""For what a study file, a record or a data set may say."""
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Made-up runs of a study with such names everywhere; one run failed."""
    claim = {"text": FREE, "metric": "accuracy", "direction": "falls", "compare": {NAME: [NAME, "backdoor"]}}
    axes: dict[str, Any] = {
        NAME: {
            "variants": {
                NAME: {"server.learning_rate": 0.5},
                **{name: SETTINGS[name] for name in ("no attack", "backdoor")},
            }
        },
        "@clients": {"field": "clients.count", "values": [10, 12]},
    }
    folder = make_study(
        tmp_path_factory.mktemp("hostile") / "study", axes=axes, description=FREE, claims=[claim]
    )
    classes = [FREE, "@b", NAME]
    for plan in folder.planned:
        words = {FREE: {"summary": FREE, "options": {FREE: FREE}}}
        told: dict[str, Any] = {
            "engine_reason": FREE,
            "data": [f"{FREE}: {FREE}"],
            "own_words": words,
            "processor": FREE,
        }
        write_run(folder, plan, 4, classes=classes, clients=plan.experiment.clients.count, **told)
        run = folder.run_folder(plan)
        records = [record(plan, number) for number in range(1, 5)]
        for one in records:
            one["metrics"] |= {FREE: 0.5, "-x": -1.5}
            one["per_group_accuracy"] = {FREE: 0.5, "usual": 0.7}
            one["trace"] |= {FREE: 1.0}
        replace_file(run.rounds, "".join(to_json(one) + "\n" for one in records))
        result = json.loads(run.result.read_text(encoding="utf-8"))
        replace_file(run.result, to_json(result | {"last": records[-1], "stopped": FREE}))
    failed = folder.run_folder(folder.planned[-1])
    failed.result.unlink()
    failed.write_failure(FREE)
    return folder


@pytest.fixture
def printed(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    """What a command prints on standard output, which is harmless as its standard error is; run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            app(list(arguments))
        out, err = capsys.readouterr()
        assert left.value.code == code, err
        for text in (out, err):
            assert visible(text) == text
        return out

    return call


class Tags(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_report(study: StudyFolder, printed: Any, tmp_path: Path) -> None:
    text = printed("report", str(study.path), "--out", str(tmp_path / "out"))
    assert NAME in text, "as it is: nothing in it is markup of rich's"
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert visible(page) == page
    elements = Tags(page).found
    assert not [a for _, a in elements for key in a if key.startswith("on") or a.get("src") == "x"]
    assert not [a for _, a in elements if "javascript" in (a.get("href") or "")]
    (curves,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert "\\u001b" not in curves
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    files = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".md", ".csv", ".tex", ".svg")]
    assert {path.suffix for path in files} == {".md", ".csv", ".tex", ".svg"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert visible(text) == text, path
        CHECKS[path.suffix](text)


def harmless_markdown(text: str) -> None:
    assert not re.search(r"(?<!\\)[<>`\[\]*&]", text.replace("**", "", 2)), text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", row))) for row in rows}) == 1


def harmless_csv(text: str) -> None:
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    for cell in (cell for row in rows for cell in row if FORMULA.match(cell)):
        float(cell)


def harmless_latex(text: str) -> None:
    comment, *lines = text.splitlines()
    assert comment.startswith("% ")
    (columns,) = re.findall(r"\\begin\{tabular\}\{(l+)\}", text)
    rows = [line for line in lines if line.endswith(r"\\")]
    for row in rows:
        plain = re.sub(r"\\[&%_#{}]|\\text\w+\{\}|\\\\$|\$\\?(pm|dagger|ddagger|-)\$|\\\$|^\{\}", "", row)
        assert plain.count("&") == len(columns) - 1
        assert not re.search(r"[\\%$#_^~{}]", plain), row
    assert len(lines) == len(rows) + 5


def harmless_svg(text: str) -> None:
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    assert not tags & {"script", "img", "foreignObject"}


CHECKS = {".md": harmless_markdown, ".csv": harmless_csv, ".tex": harmless_latex, ".svg": harmless_svg}


@pytest.mark.parametrize(
    ("style", "check"),
    [
        ("text", None),
        ("markdown", None),
        ("csv", harmless_csv),
        ("latex", harmless_latex),
        ("json", json.loads),
    ],
)
def test_tables_that_are_printed(study: StudyFolder, printed: Any, style: str, check: Any) -> None:
    text = printed("report", str(study.path), "--format", style, "--metric", "accuracy", "--metric", "-x")
    if check is not None:
        check(text)


def test_what_is_read_back_from_csv_and_json(study: StudyFolder, printed: Any) -> None:
    """Numbers are the same, negative ones too; a name that would be a formula has an apostrophe before it."""
    arguments = ("report", str(study.path), "--metric", "-x", "--format")
    table = pd.read_csv(io.StringIO(printed(*arguments, "csv")))
    assert table["'-x"].tolist() == [-1.5] * len(table)
    assert table["'" + NAME][0] == "'" + NAME
    rows = next(iter(json.loads(printed(*arguments, "json")).values()))
    assert rows[0][NAME] == NAME
    assert rows[0]["-x"] == -1.5


def test_watch_and_plan(study: StudyFolder, printed: Any) -> None:
    for command in (("watch", "--once"), ("plan",)):
        text = printed(command[0], str(study.path), *command[1:])
        assert NAME in text
        plain = printed(command[0], str(study.path), *command[1:], "--json")
        assert plain.isascii()
        runs = json.loads(plain)
        runs = runs if isinstance(runs, list) else runs["runs"]
        assert NAME in {run[NAME] for run in runs}
        assert any(FREE.partition("\u2028")[0] in run["why"] for run in runs), "JSON says all of it"


def test_a_table_of_data(printed: Any, tmp_path: Path) -> None:
    """Names of columns, classes, groups and clients in a CSV file."""
    (tmp_path / "data").mkdir()
    names = [FREE.replace("\r", "").replace("\x00", "") + end for end in ("a", "b")]
    with (tmp_path / "data" / "own.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", names[0], "=x", "group"])
        rng = np.random.default_rng(0)
        writer.writerows(
            [names[n % 2], rng.random(), names[n // 2 % 2], names[n // 4 % 2]] for n in range(80)
        )
    (tmp_path / "mine.toml").write_text(
        'rounds = 1\ndata = { name = "csv", path = "data/own.csv", groups = "group" }\n'
        'model = { name = "mlp", hidden = [4] }\nclients.count = 2\n'
    )
    arguments = ("inspect", "mine.toml", "--picture")
    assert "\\x1b[2J" in printed(*arguments, "split.svg")
    harmless_svg((tmp_path / "split.svg").read_text(encoding="utf-8"))
    found = json.loads(printed(*arguments, "split.png", "--json"))
    assert {*found["splits"][0]["classes"]} == {*names}
    done = json.loads(printed("run", "mine.toml", "--out", "run", "--json", "--quiet"))
    assert {*done["last"]["per_group_accuracy"]} <= {*names}


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_and_errors(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")  # bars without moving the cursor
    with display([FREE], [3], jobs=1) as shown:
        shown.see(Started(0))
        shown.see(RoundDone(0, 1, {"accuracy": 0.5}))
        shown.see(Ended(0, 1, FREE))
    complain(ConfigError(FREE, FREE))
    err = capsys.readouterr().err
    assert NAME in err
    assert visible(err.replace("\r", "")) == err.replace("\r", "")


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", "\u202e", "\ud800"])
def test_names_of_axes_can_be_shown(name: str) -> None:
    """As those of their points."""
    both: tuple[dict[str, Any], ...] = ({name: {"variants": {"a": {}}}}, {"a": {"variants": {name: {}}}})
    for axes in both:
        with pytest.raises(ConfigError, match=r"has characters that cannot be shown|unicode string"):
            Study.model_validate({"name": "x", "axes": axes})


def test_every_style_of_a_sheet_shows_an_empty_one() -> None:
    sheet = Sheet("x", FREE, [FREE], [], pd.DataFrame(), (FREE,))
    for style in ("text", "markdown", "csv", "latex"):
        assert visible(text := render(sheet, style)) == text
    assert as_csv(pd.DataFrame({"a": [1], "=b": ["=c"]})) == "a,'=b\n1,'=c\n"


def test_of_thousands_of_metrics_the_page_shows_some_and_says_so(tmp_path: Path) -> None:
    """Figures for all of them took hours."""
    folder = make_study(tmp_path / "study", axes={}, seeds=[0])
    write_run(folder, folder.planned[0], 1)
    run = folder.run_folder(folder.planned[0])
    last = json.loads(run.rounds.read_text(encoding="utf-8"))
    last["metrics"] |= {f"own {number}": 0.5 for number in range(3_000)}
    replace_file(run.rounds, to_json(last) + "\n")
    result = json.loads(run.result.read_text(encoding="utf-8"))
    replace_file(run.result, to_json(result | {"last": last}))
    content = build_content(gather(folder))
    assert len([name for name in content.metrics if name.startswith("own ")]) == MOST_OWN
    (estimates,) = [sheet for sheet in content.statistics if sheet.slug == "estimates"]
    assert estimates.notes[-1].startswith("the first 100 of 3,000 metrics of plug-ins")
    (runs,) = [sheet for sheet in content.sheets if sheet.slug == "runs"]
    assert "own 2999" in runs.numbers
