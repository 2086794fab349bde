"""What an audit's report says first: its answers, the comparison with each other defence, notes on doubtful cells."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import pytest

from analysis.test_scorecard import CONTENT, results
from fedskew.analysis import judge
from fedskew.analysis.compared import compared
from fedskew.audit.claims import claims_about
from fedskew.report.answers import COST, LEAKS, PROTECTION, SPREAD, answers
from fedskew.report.evidence import Evidence
from fedskew.report.figures.audit import kept_charts
from fedskew.report.tables.scorecard import scorecard_sheets
from fedskew.report.words import verdict_lines
from fedskew.study.grid import Study, planned_runs

MINUS = "\N{MINUS SIGN}"
STUDY = Study.model_validate(CONTENT | {"claims": claims_about("mine", {"alpha": [10.0, 0.3]}, True)})


def evidence(study: Study = STUDY, frame: pd.DataFrame | None = None) -> Evidence:
    return Evidence(
        Path("nowhere"), study, planned_runs(study), results() if frame is None else frame, {}, []
    )


def noisy() -> pd.DataFrame:
    """A seed's number differs from another's in every cell, so that tests have a spread."""
    frame = results()
    frame["accuracy"] += (
        (frame["seed"] - 1.5) * 0.001 * (1 + (frame["defence"] == "mine")) * (1 + (frame["alpha"] < 1))
    )
    return frame


def test_each_question_has_one_answer_with_its_numbers() -> None:
    judgements = judge(STUDY, noisy())
    found = answers(STUDY, judgements, {2: "added late"})
    assert list(found) == [COST, PROTECTION, SPREAD]
    assert [numbers for _, numbers in found.values()] == [(0, 1), (2, 3), (4,)]
    asked = "that it costs at most 2 points of accuracy does not hold at alpha 0.3, not decided at 10"
    assert found[COST][0].startswith(f"{asked} ({MINUS}12.00 [")
    better = (
        "that the accuracy is higher than with no defence holds at alpha 10, not decided at 0.3 (+11.00 ["
    )
    assert found[PROTECTION][0].startswith(better)
    assert "; added late); " in found[PROTECTION][0]
    assert (
        "not decided whether the attack success rate is lower than with no defence (0.00 ["
        in found[PROTECTION][0]
    )
    assert found[SPREAD][0].startswith(
        f"the accuracy under the worst attack is lower the more unevenly the data is spread ({MINUS}3.95 ["
    )
    assert found[SPREAD][0].endswith(" percentage points per halving of alpha).")
    assert verdict_lines(judgements, {}, range(5)) == []


def test_a_verdict_that_depends_says_on_what() -> None:
    frame = noisy()
    frame.loc[(frame["alpha"] == 10.0) & (frame["defence"] == "mine"), "accuracy"] += 0.02
    found = answers(STUDY, judge(STUDY, frame), {})
    assert found[COST][0].startswith(
        "that it costs at most 2 points of accuracy holds at alpha 10, not at 0.3 ("
    )


def test_what_leaks_is_an_answer_of_its_own() -> None:
    """The AUC is 0.1 lower with the audited defence, the error of the label inference as large as without."""
    content = copy.deepcopy(CONTENT)
    variants = content["axes"]["attack"]["variants"]
    variants["no attack"]["privacy.attacks"] = ["delta-loss", "label-inference"]
    leaks = {"delta-loss": "delta_loss_auc", "label-inference": "label_inference_label_error"}
    study = Study.model_validate(
        content | {"claims": claims_about("mine", {"alpha": [10.0, 0.3]}, True, leaks)}
    )
    frame = noisy()
    clean, mine = frame["attack"] == "no attack", frame["defence"] == "mine"
    frame.loc[clean, "delta_loss_auc"] = 0.7 - 0.1 * mine + 0.001 * frame["seed"] * (1 + mine)
    frame.loc[clean, "label_inference_label_error"] = 0.3 + 0.01 * frame["seed"]
    found = answers(study, judge(study, frame), {})
    assert list(found) == [COST, PROTECTION, LEAKS, SPREAD]
    text, numbers = found[LEAKS]
    assert numbers == (4, 5)
    assert text.startswith(
        f"the delta loss: membership AUC, matched is lower than with no defence ({MINUS}0.099 ["
    )
    assert "not decided whether the label inference error is higher than with no defence (0.000 [" in text


def test_a_spread_of_ones_own_is_answered_too() -> None:
    spread = {"spread": {"variants": {"even": {"split": "iid"}, "as given": {"split": "linear"}}}}
    axes = {**spread, **{name: axis for name, axis in CONTENT["axes"].items() if name != "alpha"}}
    claims = claims_about("mine", {"spread": ["even", "as given"]}, True)
    study = Study.model_validate(CONTENT | {"axes": axes, "claims": claims})
    frame = noisy().rename(columns={"alpha": "spread"})
    frame["spread"] = frame["spread"].map({10.0: "even", 0.3: "as given"})
    (answer, _) = answers(study, judge(study, frame), {})[SPREAD]
    assert "the accuracy under the worst attack is lower with spread as given than with even" in answer


def test_a_claim_of_a_readers_own_is_told_apart() -> None:
    own = {"text": "mine", "metric": "bias", "direction": "falls", "over": "alpha"}
    study = Study.model_validate(
        CONTENT | {"claims": [*claims_about("mine", {"alpha": [10.0, 0.3]}, True), own]}
    )
    judgements = judge(study, noisy())
    told = {number for _, numbers in answers(study, judgements, {}).values() for number in numbers}
    assert verdict_lines(judgements, {}, told) == ["Claims that are not decided: mine."]
    everything = Study.model_validate(
        CONTENT | {"audit": {}, "claims": claims_about("mine", {"alpha": [10.0, 0.3]}, True)}
    )
    assert answers(everything, judge(everything, noisy()), {}) == {}, "no one defence is audited"


def test_the_comparison_under_the_worst_attack_by_hand() -> None:
    """At alpha 10 mine minus no defence: 83 - 60, 82 - 61, 83 - 62, 82 - 63."""
    found = compared(STUDY, results())
    assert [(one.where, one.first, one.second, one.metric) for one in found] == [
        ({"alpha": alpha}, "no defence", "mine", metric)
        for alpha in (10.0, 0.3)
        for metric in ("accuracy", "worst_class_accuracy", "attack_success_rate")
    ]
    assert found[0].effect == pytest.approx(21)
    assert (found[0].n, found[0].unit) == (4, "percentage points")
    assert found[3].effect == pytest.approx(1), "20 points less at alpha 0.3"
    assert found[2].effect == 0
    assert found[0].p_holm > found[0].p_value


def test_the_tables_of_an_audit() -> None:
    card, beside, attacks = scorecard_sheets(evidence())
    assert (card.slug, beside.slug, attacks.slug) == ("scorecard", "compared", "attacks")
    mine = card.rows[0]
    assert mine[:3] == ["10.0", "mine", "88.0 ‡"], "all seeds agree, which is marked"
    assert any(note.startswith("‡ all seeds gave this number") for note in card.notes)
    assert any(note.startswith("options were not tuned") for note in card.notes)
    assert beside.header == [
        "alpha",
        "compared with",
        "accuracy, worst attack",
        "worst class accuracy, worst attack",
        "attack success rate, worst attack",
    ]
    assert beside.rows[0][:3] == ["10.0", "no defence", "+21.0 [+18.4, +23.6] *"]
    assert beside.rows[0][4] == "0.0 ‡"
    assert not any("demonstration" in note for note in card.notes), "nothing says how many images there are"


@pytest.mark.parametrize(("images", "noted"), [(1155, True), (60_000, False)])
def test_few_images_make_a_demonstration(images: int, noted: bool) -> None:
    some = evidence()
    some.__dict__["size"] = (10, images)
    notes = scorecard_sheets(some)[0].notes
    assert any("1,155 training images this audit is a demonstration" in note for note in notes) == noted


def test_where_every_seed_differs_nothing_is_marked() -> None:
    frame = results()
    for metric in ("accuracy", "worst_class_accuracy", "bias", "attack_success_rate"):
        frame[metric] += frame["seed"] * 0.001
    assert not any("‡" in note for note in scorecard_sheets(evidence(frame=frame))[0].notes)


def test_a_heat_map_says_what_it_shows() -> None:
    (first, *_) = kept_charts(evidence())
    assert "what an attack leaves" in first.title
    assert "accuracy" not in first.title


def test_attacks_that_adapt_to_a_defence_are_marked() -> None:
    content = copy.deepcopy(CONTENT)
    variants, knows = content["axes"]["attack"]["variants"], {"threat_model": "knows-the-defence"}
    variants["a"]["attack"] = {"name": "model-replacement", "of": "sign-flip", **knows}
    variants["b"]["attack"] = {"name": "pgd", "of": "sign-flip", **knows}

    def attacks() -> list[str]:
        study, frame = Study.model_validate(content), results()
        planned = {(*plan.cell.values(), plan.seed): plan for plan in planned_runs(study)}
        keys = zip(frame["alpha"], frame["attack"], frame["defence"], frame["seed"], strict=True)
        frame["run"] = [planned[key].identity for key in keys]
        frame.loc[frame["attack"] != "no attack", "threat_model"] = "knows-the-defence"
        sheet = scorecard_sheets(evidence(study, frame))[-1]
        assert any(note.startswith("* these attacks know a defence") for note in sheet.notes)
        return [row[1] for row in sheet.rows[:3]]

    assert attacks() == ["no attack", "a *", "b"]
    content["axes"]["defence"]["variants"]["mine"] = {"defence.transforms": [{"name": "clip", "norm": 1.0}]}
    assert attacks() == ["no attack", "a *", "b *"]
