"""What a report shows of privacy attacks: their numbers with labels and decimals, the level of chance, and what leaks
in an audit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.test_scorecard import CONTENT, results
from fedskew.analysis.scorecard import extreme_spreads
from fedskew.files import read_lines
from fedskew.report.evidence import Evidence, gather
from fedskew.report.figures.scene import Line
from fedskew.report.over import chances
from fedskew.report.page.content import Content, build_content
from fedskew.report.page.render import render_page
from fedskew.report.tables.leaks import leaks_sheets
from fedskew.report.tables.scorecard import scorecard_sheets
from fedskew.study.audit import Audit
from fedskew.study.grid import Study, planned_runs
from helpers import put_records
from report_helpers import BASE, make_study, record, write_run

PAIR: dict[str, Any] = {
    "alpha": {"field": "split.alpha", "values": [1.0, 0.1]},
    "setting": {"variants": {"backdoor": {}, "RLR": {"defence.learning_rate": {"name": "rlr", "theta": 4}}}},
}
WATCHED = BASE | {
    "clients": {"held_out": 0.2},
    "privacy": {"attacks": ["loss-threshold", "delta-loss", "source-inference"]},
}
FINDS: dict[str, float] = {
    "loss_threshold_auc": 0.51,
    "delta_loss_auc": 0.6,
    "delta_loss_auc_pooled": 0.7,
    "source_inference_source_advantage": 0.9,
    "label_inference_label_error": 0.4,
    "label_inference_label_error_global": 0.8,
}
SIX = ["accuracy", "bias", "attack_success_rate", "delta_loss_auc"]
SIX += ["source_inference_source_advantage", "label_inference_label_error"]


def watched(path: Path, axes: dict[str, Any]) -> Evidence:
    """A study with privacy metrics in its runs' last round, as those of attacks are; without adversaries nothing says
    how often a backdoor succeeds."""
    folder = make_study(path, axes=axes, base=WATCHED)
    for plan in folder.planned:
        write_run(folder, plan, 5)
        last = record(plan, 5)
        last["metrics"] |= {name: value + 0.002 * plan.seed for name, value in FINDS.items()}
        if not plan.experiment.adversaries.count:
            del last["metrics"]["attack_success_rate"], last["metrics"]["backdoor_accuracy"]
        path = folder.run_folder(plan).path
        put_records(path, [*read_lines(path / "rounds.jsonl")[:-1], last])
    return gather(folder)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """Two settings, about which the paper makes claims."""
    return build_content(watched(tmp_path_factory.mktemp("leaks") / "study", PAIR))


def test_of_each_kind_the_attack_that_finds_most_stands_for_privacy_in_the_main_figure(
    content: Content,
) -> None:
    """The paper's claims are about the backdoor accuracy."""
    assert content.main_metrics == [*SIX[:2], "backdoor_accuracy", *SIX[3:]]
    (charts,) = content.lead
    assert [chart.title for chart in charts] == [
        "accuracy [%]",
        "bias [%]",
        "backdoor accuracy [%]",
        "delta loss: membership AUC, matched",
        "source inference advantage",
        "label inference error",
    ]
    assert content.lead_rule == ""


DEFENCES = {f"defence {k}": {"training.epochs": k} for k in range(1, 5)}
CALM: dict[str, Any] = {"calm": {"adversaries.count": 0}}


@pytest.mark.parametrize(
    ("attacks", "shown", "rule"),
    [
        (CALM | {"trojan": {}}, ["calm", "trojan"], ""),
        (
            CALM | {"trojan": {}, "more": {"adversaries.count": 2}},
            ["trojan", "more"],
            "Below, the figures show attack calm too.",
        ),
    ],
)
def test_the_main_figure_shows_accuracy_bias_backdoor_and_privacy_of_as_many_settings_as_have_room(
    tmp_path: Path, attacks: dict[str, Any], shown: list[str], rule: str
) -> None:
    axes = {"alpha": {"field": "split.alpha", "values": [1.0, 0.1]}, "attack": {"variants": attacks}}
    content = build_content(watched(tmp_path / "study", axes | {"defence": {"variants": DEFENCES}}))
    assert content.main_metrics == SIX
    assert len(content.parts) == len(attacks)
    titles = [[chart.title for chart in charts] for charts in content.lead]
    for label, row in zip(shown, titles, strict=True):
        assert [title.endswith(f", attack {label}") for title in row] == [True] * (
            5 if label == "calm" else 6
        )
        assert any(title.startswith("attack success rate") for title in row) == (label != "calm")
    assert content.lead_rule == rule
    assert rule in render_page(content)
    plate = next(one for one in content.plates if one.slug == "heterogeneity-2-attack-trojan").draw()
    assert plate.width == 3 * 191, "six panels in two rows"


def test_every_table_has_one_number_of_each_attack_and_the_estimates_have_all(content: Content) -> None:
    first = ["loss threshold: membership AUC, matched", "delta loss: membership AUC, matched"]
    first += ["source inference advantage", "label inference error"]
    assert content.main.header[6:10] == first
    assert content.main.rows[0][7] == "0.601 ± 0.001", "0.6 and 0.602, to three decimals"
    assert {"delta_loss_auc", "delta_loss_auc low"} <= set(content.main.numbers)
    by_slug = {sheet.slug: sheet for sheet in content.statistics}
    assert {"delta_loss_auc"} < set(by_slug["differences"].numbers["metric"])
    assert {"delta_loss_auc"} < set(by_slug["trends"].numbers["metric"])
    assert "delta_loss_auc_pooled" not in set(by_slug["trends"].numbers["metric"])
    rows = [row for row in by_slug["estimates"].rows if row[2] == "delta loss: membership AUC, pooled"]
    assert len(rows) == 4
    assert all(len(row[3].split(" ")[0]) == len("0.700") for row in rows)


def test_chance_is_a_dashed_line_and_said(content: Content) -> None:
    notes = {chart.chosen_by["metric"]: chart.note for chart in content.over}
    assert notes["delta_loss_auc"] == "Dashed: chance."
    assert notes["label_inference_label_error"] == "Dashed: chance (label inference error of the mean mix)."
    assert notes["accuracy"] == ""
    (plate,) = [one for one in content.plates if one.slug == "heterogeneity"]
    dashed = [one for one in plate.draw().items if isinstance(one, Line) and one.dash == (4.0, 2.5)]
    assert len(dashed) == 3, "in the fourth panel, the fifth and the sixth"


def test_chance_that_depends_on_the_data_is_the_mean_over_all_series(content: Content) -> None:
    labels = content.evidence.columns
    for key, places in (("axis", [0.0, 0.0]), ("skew_total_variation", [0.305, 0.3 / 0.1**0.5 + 0.005])):
        found = chances(content.evidence, "label_inference_label_error_global", key, labels)
        assert [one.label for one in found] == labels
        assert [one.mean.mean for one in found] == pytest.approx([0.801, 0.801])
        assert [one.xs.mean() for one in found] == pytest.approx(places)
    assert chances(content.evidence, "", "axis", labels) == []


def test_a_number_of_the_last_round_has_no_curve(content: Content) -> None:
    shown = {chart.chosen_by["metric"] for row in content.curves for chart in row}
    assert "accuracy" in shown
    assert shown.isdisjoint(FINDS)
    (plate,) = [one for one in content.plates if one.slug == "rounds"]
    assert plate.draw().height < 22 + 160 * 3 + 60, "three rows"


def test_the_page_says_who_watched_and_what_the_numbers_are(content: Content) -> None:
    page = render_page(content)
    assert "<dt>Privacy attacks</dt><dd>loss-threshold, an outsider: records with a low loss" in page
    assert "they see one round in 5 and the last." in page
    assert "<dt>delta loss: membership AUC, matched</dt><dd>probability that a member has" in page


# --- audits -----------------------------------------------------------------------------------------


def leaking() -> pd.DataFrame:
    """A defence that leaks 0.05 more; pooling adds 0.01 at alpha 10, and 0.2 at 0.3."""
    frame = results()
    clean = frame["attack"] == "no attack"
    auc = 0.55 + 0.05 * (frame["defence"] == "mine") + 0.002 * (frame["seed"] - 1.5)
    frame["delta_loss_auc"] = auc.where(clean, np.nan)
    frame["delta_loss_auc_of_distribution"] = (0.01 + 0.19 * (frame["alpha"] < 1)).where(clean, np.nan)
    return frame


def evidence(study: Study, frame: pd.DataFrame) -> Evidence:
    return Evidence(Path("nowhere"), study, planned_runs(study), frame, {}, [])


def test_what_leaks_by_hand() -> None:
    """Deviation over seeds 0.002582, so the interval is 3.182 * 0.002582 / 2 = 0.0041 wide on each side."""
    (sheet,) = leaks_sheets(evidence(Study.model_validate(CONTENT), leaking()))
    assert sheet.header == [
        "alpha",
        "defence",
        "accuracy, no attack",
        "accuracy, worst attack",
        "attack success rate, worst attack",
        "delta loss: membership AUC, matched",
    ]
    assert sheet.rows[0] == ["10.0", "mine", "88.0 ‡", "82.5 [81.6, 83.4]", "50.0 ‡", "0.600 [0.596, 0.604]"]
    assert [row[5][:5] for row in sheet.rows] == ["0.600", "0.550", "0.600", "0.550"]
    assert sheet.notes[1] == "chance: 0.5 for membership AUC, matched"
    assert sheet.notes[2].startswith(
        "against test images of any class instead of what the same clients hold out the AUC of delta loss for mine "
        "differs by +0.010 at alpha 10.0 and +0.200 at alpha 0.3; that comes from the mix of classes"
    )
    assert sheet.numbers["delta_loss_auc_of_distribution mean"].tolist() == pytest.approx(
        [0.01] * 2 + [0.2] * 2
    )
    assert len(sheet.runs[0]) == 4, "those without an attack"


def test_what_knowing_nothing_reaches_stands_below_where_it_depends_on_the_spread() -> None:
    frame = leaking()
    clean, uneven = frame["attack"] == "no attack", frame["alpha"] < 1
    frame["label_inference_label_error"] = (0.3 + 0.1 * uneven).where(clean, np.nan)
    frame["label_inference_label_error_global"] = (0.2 + 1.1 * uneven).where(clean, np.nan)
    (sheet,) = leaks_sheets(evidence(Study.model_validate(CONTENT), frame))
    assert sheet.header[-1] == "label inference error"
    assert sheet.notes[2] == (
        "label inference error: the larger, the less leaks; without the updates it is 0.200 at alpha 10.0 and 1.300 at "
        "alpha 0.3"
    )


def test_it_stands_after_the_scorecard_and_only_where_something_watched() -> None:
    study = Study.model_validate(CONTENT)
    slugs = [sheet.slug for sheet in scorecard_sheets(evidence(study, leaking()))]
    assert slugs == ["scorecard", "leaks", "compared", "attacks"]
    assert leaks_sheets(evidence(study, results())) == []
    plain = Study.model_validate({name: value for name, value in CONTENT.items() if name != "audit"})
    assert leaks_sheets(evidence(plain, leaking())) == []


def test_the_ends_are_the_most_even_and_the_most_uneven_spread() -> None:
    audit = Audit.model_validate(CONTENT["audit"])
    for alphas in itertools.permutations([10.0, 0.3, 1.0]):
        axes = CONTENT["axes"] | {"alpha": {"field": "split.alpha", "values": list(alphas)}}
        study = Study.model_validate(CONTENT | {"axes": axes})
        assert extreme_spreads(study, audit) == [10.0, 0.3]
    kinds: dict[str, Any] = {"variants": {"one": {}, "two": {}, "three": {}}}
    axes = {("split" if name == "alpha" else name): axis for name, axis in CONTENT["axes"].items()}
    study = Study.model_validate(CONTENT | {"axes": axes | {"split": kinds}})
    assert extreme_spreads(study, audit) == ["one", "three"], "in the order of the study"
