"""What a reader of the page learns first: what was done, a failure that a mean hides, claims that came late."""

from __future__ import annotations

import json
import tomllib
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from fedskew.files import read_lines
from fedskew.report.words import place_words
from fedskew.report.write import Report, write_report
from fedskew.study.folder import StudyFolder
from fedskew.study.stated import note_claims
from helpers import put_records
from report_helpers import PAPER_AXES, complete, make_study

SEEDS = list(range(8))
LOWERS: dict[str, Any] = {
    "text": "RLR lowers the backdoor",
    "metric": "backdoor_accuracy",
    "direction": "falls",
    "compare": {"setting": ["backdoor", "backdoor + RLR"]},
}
FAILS = {0: 0.975, 1: 0.972}
"""Seeds in which the defence fails at alpha 0.25, and the backdoor accuracy there."""


def told(folder: StudyFolder) -> None:
    """Complete runs: the backdoor at 80 %, with the defence at 5 %, but for the seeds that fail."""
    complete(folder)
    for plan in folder.planned:
        rate = 0.04
        if plan.cell["setting"] == "backdoor":
            rate = 0.80 + 0.003 * plan.seed
        elif "RLR" in plan.cell["setting"]:
            rate = FAILS.get(plan.seed, 0.05) if plan.cell["alpha"] == 0.25 else 0.05
        run = folder.run_folder(plan)
        records = read_lines(run.rounds)
        records[-1]["metrics"]["backdoor_accuracy"] = rate
        put_records(run.path, records)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = make_study(tmp_path_factory.mktemp("story") / "study", seeds=SEEDS, claims=[LOWERS])
    told(folder)
    return write_report(folder)


def text_of(report: Report) -> str:
    return report.page.read_text(encoding="utf-8")


def test_the_page_opens_with_what_was_done_then_the_main_figure_then_claims(failing: Report) -> None:
    page = text_of(failing)
    places = [
        page.index(mark)
        for mark in (
            '<dl class="done">',
            'id="chart-lead-',
            '<dl class="defined">',
            'id="summary"',
            'id="results"',
        )
    ]
    assert places == sorted(places)
    assert page.count("<dt>", page.index('<dl class="done">'), page.index("</dl>")) == 5
    charts = [chart.chosen_by["metric"] for chart in failing.content.over if chart.chosen_by["x"] == "axis"]
    (lead,) = failing.content.lead
    assert [chart.name.split("-")[-1] for chart in lead] == ["accuracy", "bias", "accuracy"]
    assert len(lead) < len(charts)
    over = failing.content.over
    assert len({chart.name for chart in (*lead, *over)}) == len(lead) + len(over)


def test_every_metric_of_the_table_and_of_a_claim_is_explained_before_it(failing: Report) -> None:
    page = text_of(failing)
    place = page.index('<dl class="defined">')
    explained = page[place : page.index("</dl>", place)]
    for words in ("accuracy", "bias", "backdoor accuracy", "attack success rate"):
        assert f"<dt>{words}</dt>" in explained
    assert place < page.index('id="table-tables"')
    for one in failing.content.judgements:
        assert one.claim.metric in failing.content.explained


def test_a_failure_that_the_mean_hides_is_in_the_verdict_the_doubts_and_the_figure(failing: Report) -> None:
    (own, *_) = failing.content.judgements
    assert own.depends == "holds at alpha >= 0.5, not at 0.25 (there only in 6 of 8 seeds)"
    page = unescape(text_of(failing))
    assert "Holds at alpha >= 0.5, not at 0.25 (there only in 6 of 8 seeds)." in page
    assert "Farthest from the claim: alpha 0.25, seed 0 (+17.50)." in page
    assert "alpha 0.25, setting backdoor + RLR: backdoor accuracy 97.35 % in 2 seeds (0, 1)" in page
    summary = failing.summary
    assert "no single verdict" in summary
    assert "  serious: Seeds fall into two groups" in summary


def test_effects_at_each_place(failing: Report) -> None:
    own, *papers = failing.content.judgements
    assert place_words(own).startswith("At alpha 1.0: \N{MINUS SIGN}76.05; 0.5: \N{MINUS SIGN}76.05; 0.25: ")
    slope = next(one for one in papers if one.claim.text == "accuracy falls as alpha falls")
    assert place_words(slope).startswith("Accuracy at alpha 1.0: ")


def test_the_study_file_is_whole(failing: Report) -> None:
    page = unescape(text_of(failing))
    start = page.index('<pre tabindex="0">') + len('<pre tabindex="0">')
    shown = page[start : page.index("</pre>", start)]
    assert shown.startswith("# base: with all defaults, as in the setting alpha 1.0, setting no attack\n")
    study = tomllib.loads(shown)
    assert study["base"]["training"]["last_batch"] == "keep"
    assert "seed" not in study["base"]
    assert len(study["claims"]) == len(failing.content.judgements) == 10
    assert study["claims"][0]["text"] == LOWERS["text"]


def test_the_tables_say_it_too(failing: Report) -> None:
    table = failing.content.statistics[0].numbers
    assert table["depends"][0].startswith("holds at alpha >= 0.5")
    assert table["places"][0].startswith("alpha 1.0 -76.05 [-76.66, -75.44] holds; alpha 0.5 ")
    assert set(table["stated"]) == {""}


def test_a_claim_that_came_late_is_marked_beside_its_verdict(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=SEEDS[:3])
    note_claims(folder.path, ())
    told(folder)
    again = make_study(tmp_path / "other", seeds=SEEDS[:3], claims=[LOWERS])
    late = StudyFolder(folder.path, again.study, again.planned)
    written = write_report(late)
    runs = len({plan.identity for plan in late.planned})
    assert f"! Added, with {runs} runs of the study complete." in text_of(written)
    assert (
        written.content.statistics[0].numbers["stated"][0] == f"added, with {runs} runs of the study complete"
    )
    assert any(reason.code == "late-claims" for reason in written.content.reasons)


def test_skew_that_does_not_follow_alpha_is_not_said_to_rise(tmp_path: Path) -> None:
    axes = {"alpha": PAPER_AXES["alpha"]}
    rises = "so the data becomes more uneven from left to right"
    for name, skews in {"follows": (0.2, 0.4, 0.6), "does not": (0.8, 0.7, 0.8)}.items():
        folder = make_study(tmp_path / name, axes=axes)
        complete(folder)
        for plan in folder.planned:
            run = folder.run_folder(plan)
            result = json.loads(run.result.read_text())
            place = [1.0, 0.5, 0.25].index(plan.cell["alpha"])
            result["skew"] = {"total_variation": skews[place], "size_gini": 0.1}
            run.result.write_text(json.dumps(result))
        page = text_of(write_report(folder))
        assert (rises in page) == (name == "follows")
