"""The section "Who pays": its tables and figure worked out by hand, and what is said where there is nothing to show."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedskew.analysis.pays.cost import PAYING as METRICS
from fedskew.files import replace_file, to_json
from fedskew.report.evidence import Evidence, gather
from fedskew.report.figures.pays import pays_charts, pays_plate
from fedskew.report.figures.scene import Words
from fedskew.report.page.content import build_content
from fedskew.report.page.render import render_page
from fedskew.report.pays import WhoPays, cost_notes, pays_notes, pays_sentences, told, who_pays
from fedskew.report.tables.pays import bins_sheet, costs_sheet, slopes_sheet
from fedskew.report.tables.sheet import render
from report_helpers import KRUM, PAYING, complete, make_study, paying


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return gather(paying(tmp_path_factory.mktemp("study") / "paying"))


@pytest.fixture(scope="module")
def who(evidence: Evidence) -> WhoPays:
    return who_pays(evidence)


def test_rates_and_slopes_by_hand(evidence: Evidence, who: WhoPays) -> None:
    sheet = slopes_sheet(evidence, told(evidence, who))
    assert [row[:2] for row in sheet.rows] == [
        [label, f"{attack}, Krum"] for attack in ("no attack", "backdoor") for label in ("1.0", "0.25", "all")
    ]
    # Four clients at 0, three at 1/3 in half of the rounds, three at 2/3 in 7 of 8 or in all; by the seed.
    xs, ends = 10 * np.array([0, 0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3]), (87.5, 100, 87.5, 100)
    slopes = [np.polyfit(xs, [0] * 4 + [50] * 3 + [end] * 3, 1)[0] for end in ends]
    rejected = np.mean([(3 * 50 + 3 * end) / 10 for end in ends])
    first = sheet.rows[0]
    assert first[2:5] == [f"{rejected:.2f}", f"{rejected:.2f}", f"+{np.mean(slopes):.2f}"]
    assert first[-1] == "4"
    attacked = sheet.rows[3]  # without the adversary, who is rejected in each round
    assert attacked[2] == f"{np.mean([(3 * 50 + 3 * end) / 9 for end in ends]):.2f}"
    assert [len(runs) for runs in sheet.runs] == [4, 4, 8] * 2
    assert next(iter(sheet.numbers["slope"])) == pytest.approx(np.mean(slopes))


def test_bins_by_hand(evidence: Evidence, who: WhoPays) -> None:
    sheet = bins_sheet(evidence, told(evidence, who))
    assert [row[:4] + row[-2:] for row in sheet.rows[:3]] == [
        ["1.0", "no attack, Krum", "0.0 to 0.1", "0.00", "16", "4"],
        ["1.0", "no attack, Krum", "0.3 to 0.4", "50.00", "12", "4"],
        ["1.0", "no attack, Krum", "0.6 to 0.7", "93.75", "12", "4"],
    ]
    assert sheet.rows[1][4] == "[50.00, 50.00]"
    assert sheet.rows[6][-2] == "32", "all labels together"


def test_costs_by_hand(evidence: Evidence, who: WhoPays) -> None:
    sheet = costs_sheet(evidence, who)
    assert sheet.header == [
        "alpha", "setting", "under attack", "accuracy", "worst class accuracy", "client accuracy worst",
        "client accuracy worst tenth", "seeds",
    ]  # fmt: skip
    assert [row[:3] for row in sheet.rows] == [
        [label, setting, attack]
        for label in ("1.0", "0.25")
        for setting, attack in (
            ("no attack, Krum", "no"),
            ("backdoor, Krum", "backdoor"),
            ("backdoor, median", "backdoor"),
        )
    ]
    # 10.0, 10.1, 10.2 and 10.3 points: mean 10.15, s = 0.129, half width 3.182 s / 2.
    assert sheet.rows[0][3:] == [
        "−10.15 [−10.36, −9.94] *",
        "−30.45 [−31.07, −29.83] *",
        "−20.30 [−20.71, −19.89] *",
        "−20.30 [−20.71, −19.89] *",
        "4",
    ]
    assert sheet.rows[2][3] == "0.00 [0.00, 0.00]"
    assert len(sheet.runs[0]) == 8
    assert sheet.columns == (), "all fit into a page"
    # Of nine honest clients the worst tenth is the worst: of 24 numbers in the table 18 are tested.
    first = min(who.costs.found, key=lambda one: one.p_value)
    assert first.p_holm == pytest.approx(18 * first.p_value)
    same = [one.p_holm for one in who.costs.found if one.metric.startswith("client")]
    assert same[::2] == same[1::2]


def test_what_a_reader_can_quote(evidence: Evidence, who: WhoPays) -> None:
    sentences = pays_sentences(evidence, told(evidence, who))
    assert len(sentences) == 6
    assert any(
        one.startswith(
            "no attack, Krum, all alpha: an honest client is down-weighted 14.10 percentage points more often"
        )
        for one in sentences
    )
    assert all(
        one.endswith(": in 0.00 % of its rounds from 0.0 to 0.1, in 93.75 % from 0.6 to 0.7")
        for one in sentences
    )
    assert pays_notes(who) == [
        "Not shown, because their rules (fedavg, median) give no weights of clients: no attack; backdoor; "
        "backdoor, median."
    ]
    assert cost_notes(who) == []


def test_the_figure_has_a_line_per_defence_that_gives_weights(evidence: Evidence, who: WhoPays) -> None:
    charts = pays_charts(evidence, who)
    assert [chart.title for chart in charts] == [
        f"honest clients down-weighted [% of rounds], alpha {alpha}" for alpha in ("1.0", "0.25")
    ]
    assert [chart.chosen_by for chart in charts] == [{"column": "0"}, {"column": "1"}]
    svg = str(charts[0].svg)
    drawn = {number for number in range(len(PAYING)) if f'data-series="{number}"' in svg}
    assert [list(PAYING)[number] for number in sorted(drawn)] == ["no attack, Krum", "backdoor, Krum"]
    assert svg.count('class="point"') == 6
    assert (
        "no attack, Krum, alpha 1.0\ntotal variation 0.6 to 0.7: 12 clients\ndown-weighted in 93.75 ± 7.22 %"
        in svg
    )
    assert "\nrejected in 93.75 %; weight " in svg
    plate = pays_plate(evidence, who)
    assert plate is not None
    words = {item.text for item in plate.draw().items if isinstance(item, Words)}
    assert {"no attack, Krum", "backdoor, Krum", "alpha 1.0", "down-weighted [% of rounds]"} <= words
    assert "backdoor, median" not in words


def test_the_section_and_its_files(evidence: Evidence) -> None:
    content = build_content(evidence)
    page = render_page(content)
    section = page.partition('<section id="who-pays"')[2].partition("</section>")[0]
    assert '<a href="#who-pays">Who pays</a>' in page
    slugs = ["who-pays", "who-pays-by-unusualness", "cost-of-defence"]
    assert all(f'id="table-{slug}"' in section for slug in slugs)
    assert [name for name, _ in content.pays.legend] == ["no attack, Krum", "backdoor, Krum"]
    # What is written as files.
    assert [sheet.slug for sheet in content.sheets if sheet.slug in slugs] == slugs
    assert "who-pays" in [plate.slug for plate in content.plates]
    table = pd.read_csv(io.StringIO(render(content.pays.costs[0], "csv")))
    assert list(table.columns[:6]) == ["alpha", "setting", "under_attack", "metric", "effect", "low"]
    assert set(table["metric"]) <= set(METRICS)


def test_two_seeds_have_no_bins_and_an_axis_may_be_called_attack(tmp_path: Path) -> None:
    axes: dict[str, Any] = {"attack": {"variants": {"a": KRUM, "b": {}}}}
    content = build_content(gather(paying(tmp_path / "study", axes=axes, seeds=[0, 1])))
    assert content.pays.charts == []
    assert [sheet.slug for sheet in content.pays.sheets] == ["who-pays", "cost-of-defence"]
    assert content.pays.standing == []
    page = render_page(content)
    assert "No figure: no bin has clients of three seeds." in page
    costs = content.pays.costs[0].numbers
    assert costs[["attack", "under_attack", "n"]].to_numpy().tolist() == [["a", "backdoor", 2]] * 4


def test_without_a_table_of_clients_a_sentence_says_so(tmp_path: Path) -> None:
    folder = paying(tmp_path / "study", axes={"setting": {"variants": {"Krum": KRUM}}}, seeds=[0, 1, 2])
    for number, plan in enumerate(folder.planned):
        path = folder.run_folder(plan).clients
        summary = json.loads(path.read_text(encoding="utf-8"))
        damaged: list[dict[str, Any]] = [
            {"label_counts": None},
            {"label_counts": [[1], [2, 3]]},
            {"malicious": "?"},
        ]
        replace_file(path, to_json(summary | damaged[number]))
    content = build_content(gather(folder))
    assert content.pays.sheets == []
    words = render_page(content)
    assert (
        "3 runs with weights are not shown, because the folder does not say which honest clients hold"
        in words
    )
    assert "The study has no run without a defence to compare these settings with: Krum." in words


def test_a_study_that_defends_nothing_has_no_such_section(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={"epochs": {"field": "training.epochs", "values": [1, 2]}})
    complete(folder)
    page = render_page(build_content(gather(folder)))
    assert "Who pays" not in page
    assert 'id="who-pays"' not in page


def test_records_without_the_newer_metrics_have_the_other_costs(evidence: Evidence) -> None:
    older = evidence.results.drop(columns="client_accuracy_worst_tenth")
    sheet = costs_sheet(evidence, who_pays(replace(evidence, results=older)))
    assert sheet.header[3:-1] == ["accuracy", "worst class accuracy", "client accuracy worst"]
