"""The report's page in a real browser: nothing is refused or asked for, controls work, it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import Page, browser, find_browser
from fedskew.analysis import results_table
from fedskew.study.folder import StudyFolder
from report_helpers import EVIL, STUDIES, page_of, shared_folder

CHROMIUM = find_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None
    with browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_folder(tmp_path_factory)


VISIBLE = "e => e.checkVisibility() && getComputedStyle(e).display !== 'none'"


def shown(page: Page, selector: str) -> list[str]:
    """The ids of the charts that can be seen."""
    found: list[str] = page.run(
        f"[...document.querySelectorAll({selector!r})].filter({VISIBLE}).map(e => e.id)"
    )
    return found


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const e = document.querySelector('[name={name}]'); e.value = {value!r}; "
        "e.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def click(page: Page, name: str, value: str) -> None:
    page.run(f"document.querySelector('input[name={name}][value=\"{value}\"]').click()")


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False)])
def test_nothing_goes_wrong(reports: Path, page: Page, name: str, width: int, dark: bool) -> None:
    page.open(page_of(name, reports), width=width, dark=dark)
    assert page.complaints == []
    assert page.requests == [page_of(name, reports).as_uri()], "a page that asks nobody for anything"
    assert page.run("document.documentElement.scrollWidth") == width, "no sideways scrolling"
    assert page.run("typeof window.evil") == "undefined"
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 24, 29)") == dark


def test_the_browser_would_complain(page: Page, tmp_path: Path) -> None:
    """That the checks above can fail: a refused style, a refused script, an error, a request, a wide page."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\"><p style='width: 9px'>x</p>"
        "<script>1</script><img src='picture.png'><pre>" + "wide" * 500 + "</pre>"
    )
    page.open(bad, width=360)
    complaints = " ".join(page.complaints)
    assert "style" in complaints
    assert "script" in complaints
    assert page.run("document.documentElement.scrollWidth") > 360

    bad.write_text("<script>throw new Error('on purpose')</script><img src='picture.png'>")
    page.open(bad)
    assert "on purpose" in " ".join(page.complaints)
    assert len(page.requests) == 2


def test_metric_and_axis_can_be_chosen(reports: Path, page: Page) -> None:
    page.open(page_of("paper", reports))
    first = [f"chart-over-axis-{m}" for m in ("accuracy", "bias", "backdoor-accuracy")]
    assert shown(page, "[id^=chart-over]") == first
    assert len(shown(page, "[id^=chart-rounds]")) == 9

    choose(page, "metric", "test_loss")
    assert shown(page, "[id^=chart-over]") == ["chart-over-axis-test-loss"]
    assert shown(page, "[id^=chart-rounds]") == [f"chart-rounds-test-loss-{n}" for n in range(3)]

    choose(page, "x", "skew_total_variation")
    assert shown(page, "[id^=chart-over]") == ["chart-over-skew-total-variation-test-loss"]

    choose(page, "metric", "train_loss")
    assert shown(page, "[id^=chart-over]") == []
    assert page.run(f"[...document.querySelectorAll('.none')].filter({VISIBLE}).map(e => e.textContent)") == [
        "This metric is measured over rounds only."
    ]
    choose(page, "metric", "all")
    assert len(shown(page, "[id^=chart-rounds]")) > 15
    assert page.complaints == []


def test_settings_and_alphas_can_be_left_out(reports: Path, page: Page) -> None:
    page.open(page_of("paper", reports))
    marks = f"[...document.querySelectorAll('.chart [data-series=\"1\"]')].filter({VISIBLE}).length"
    others = marks.replace('="1"', '="2"')
    before = page.run(others)
    assert page.run(marks) > 0
    click(page, "series", "1")
    assert page.run(marks) == 0
    assert page.run(others) == before

    click(page, "column", "0")
    left = shown(page, ".chart[data-column]")
    assert left
    assert not [name for name in left if name.endswith("-0") and not name.startswith("chart-split")]
    click(page, "column", "0")
    click(page, "series", "1")
    assert page.run(others) == before


def test_parts_of_a_large_study_can_be_left_out(reports: Path, page: Page) -> None:
    page.open(page_of("factorial", reports))
    legend = page.run("[...document.querySelectorAll('#controls fieldset')].map(e => e.innerText.trim())")
    assert [text.split()[0] for text in legend] == [
        "epochs",
        "CHARTS" if legend[1].isupper() else "Charts",
        "alpha",
    ]
    charts = "[id^=chart-rounds-accuracy]"
    names = [
        f"chart-rounds-accuracy-{c}-{p}"
        for p in ("1-setting-no-attack", "2-setting-backdoor")
        for c in (0, 1)
    ]
    assert shown(page, charts)[:4] == names
    assert len(shown(page, charts)) == 6
    everything = len(shown(page, ".chart"))
    click(page, "part", "0")
    click(page, "part", "2")
    assert shown(page, charts) == names[2:]
    assert len(shown(page, "[id^=chart-over]")) == 3
    assert len(shown(page, "[id^=chart-classes]")) == 2
    click(page, "part", "1")
    assert shown(page, "[id^=chart-rounds], [id^=chart-classes]") == []
    for part in ("0", "1", "2"):
        click(page, "part", part)
    assert len(shown(page, ".chart")) == everything
    assert page.complaints == []


def test_exact_values_under_the_pointer_and_the_keyboard(reports: Path, page: Page) -> None:
    page.open(page_of("paper", reports))
    folder = StudyFolder.read(reports / "paper")
    results = results_table(folder.planned, folder.path)
    cell = results[(results["alpha"] == 1.0) & (results["setting"] == "no attack")]
    tip = "(() => { const t = document.getElementById('tip'); return t.hidden ? null : t.textContent; })()"

    page.point_at("#chart-over-axis-accuracy .point")
    told = page.run(tip)
    assert told.startswith("no attack, alpha 1.0\naccuracy " + f"{100 * cell['accuracy'].mean():.2f} ± ")
    assert all(run in told for run in cell["run"])
    page.key("Escape")
    assert page.run(tip) is None

    page.run("document.querySelector('#chart-over-axis-accuracy .point').focus()")
    assert page.run(tip) == told
    page.key("Tab")
    assert page.run("document.activeElement.classList.contains('point')")
    assert page.run(tip) != told

    # A curve is a slider over the rounds.
    curve = "document.querySelector('#chart-rounds-accuracy-0 svg')"
    page.run(f"{curve}.focus({{focusVisible: true}})")
    page.key("Home")
    assert page.run(f"{curve}.getAttribute('aria-valuenow')") == "1"
    page.key("ArrowRight")
    told = page.run(tip)
    assert told.startswith("round 2\nno attack: ")
    assert page.run(f"{curve}.getAttribute('aria-valuetext')") == told.replace("\n", "; ")
    click(page, "series", "0")
    page.point_at("#chart-rounds-accuracy-0 svg", across=0.97)
    told = page.run(tip)
    assert told.startswith("round 64\nbackdoor: ")
    assert "1 seed)" in told
    box: Any = page.run("(() => { const b = document.getElementById('tip').getBoundingClientRect(); "
                        "return [b.left, b.right, b.top, b.bottom]; })()")  # fmt: skip
    assert box[0] >= 0
    assert box[1] <= 1280
    assert box[2] >= 0
    assert box[3] <= 900


def test_without_a_script_everything_is_there(reports: Path, page: Page) -> None:
    path = page_of("paper", reports)
    page.open(path, script=False)
    page.send("Emulation.setScriptExecutionDisabled", value=False)  # for our own questions only
    hidden = page.run(
        f"[...document.querySelectorAll('.chart, .claims li, table')].filter(e => !e.closest('details')).filter(e => "
        f"!({VISIBLE})(e)).length"
    )
    assert hidden == 0
    assert page.run("document.querySelector('.scripted').hidden")
    assert page.run("document.querySelectorAll('.point > title').length") > 50


def test_a_link_opens_the_folded_row(reports: Path, page: Page) -> None:
    page.open(page_of("paper", reports))
    run = page.run("document.querySelector('#table-tables .runs a').textContent")
    row = f"document.getElementById('run-{run}')"
    assert not page.run(f"({VISIBLE})({row})")
    page.run("document.querySelector('#table-tables .runs a').click()")
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.run(f"({VISIBLE})({row})")
    assert page.run(f"{row}.matches(':target')")


def test_paper_has_what_is_folded_and_no_controls(reports: Path, page: Page, tmp_path: Path) -> None:
    page.open(page_of("paper", reports))
    page.send("Emulation.setEmulatedMedia", media="print")
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run(f"[...document.querySelectorAll('#table-runs tr')].every({VISIBLE})")
    assert not page.run(f"[...document.querySelectorAll('select')].some({VISIBLE})")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.open(page_of("paper", reports), width=760)
    page.send("Emulation.setEmulatedMedia", media="print")
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.documentElement.scrollWidth") == 760, "nothing is cut off on A4"
    page.send("Emulation.setEmulatedMedia", media="")


def test_labels_are_shown_as_they_are(reports: Path, page: Page) -> None:
    page.open(page_of("any-axes", reports))
    legend = page.run("[...document.querySelectorAll('.choice')].map(e => e.textContent.trim())")
    assert f"{EVIL}, 1" in legend
    assert "b & $x_1$ \\ 50 %, 2" in legend
    page.run("document.querySelector('.point').dispatchEvent(new PointerEvent('pointermove'))")
    assert page.run("document.getElementById('tip').textContent").startswith(EVIL)
    assert page.run("document.getElementById('tip').children.length") == 0
