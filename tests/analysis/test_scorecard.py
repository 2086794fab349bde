"""The worst of several attacks, in each seed; the scorecard of an audit; claims about a worst case."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedskew.analysis import Claim, judge
from fedskew.analysis.claims.words import what_is_tested
from fedskew.analysis.scorecard import harm, scorecard, what_is_left, worst_runs
from fedskew.analysis.worst import worst_rows
from fedskew.errors import ConfigError
from fedskew.study.grid import Study, planned_runs
from helpers import near

ALPHAS, ATTACKS, DEFENCES, SEEDS = [10.0, 0.3], ["no attack", "a", "b"], ["no defence", "mine"], range(4)
CONTENT: dict[str, Any] = {
    "name": "s",
    "seeds": list(SEEDS),
    "base": {"split": {"name": "dirichlet", "alpha": 1.0}, "attack": {"name": "backdoor", "target": 1}},
    "audit": {"defence": "mine"},
    "axes": {
        "alpha": {"field": "split.alpha", "values": ALPHAS},
        "attack": {
            "variants": {
                "no attack": {},
                "a": {"adversaries.count": 1},
                "b": {"adversaries.count": 2},
            }
        },
        "defence": {"variants": {"no defence": {}, "mine": {"defence.aggregator": "median"}}},
    },
}
STUDY = Study.model_validate(CONTENT)
# alpha 10: without a defence a costs 30 points, b 10; with it, a costs 5 in even seeds and b 6 in odd ones.
ACCURACY: dict[tuple[str, str], Callable[[int], float]] = {
    ("no defence", "no attack"): lambda s: 0.90,
    ("no defence", "a"): lambda s: 0.60 + 0.01 * s,
    ("no defence", "b"): lambda s: 0.80,
    ("mine", "no attack"): lambda s: 0.88,
    ("mine", "a"): lambda s: 0.83 if s % 2 == 0 else 0.86,
    ("mine", "b"): lambda s: 0.85 if s % 2 == 0 else 0.82,
}


def results() -> pd.DataFrame:
    rows = []
    for alpha, attack, defence, seed in itertools.product(ALPHAS, ATTACKS, DEFENCES, SEEDS):
        accuracy = ACCURACY[defence, attack](seed) - (0.2 if alpha < 1 and defence == "mine" else 0.0)
        rows.append(
            {
                "alpha": alpha,
                "attack": attack,
                "defence": defence,
                "seed": seed,
                "run": f"{alpha} {attack} {defence} {seed}",
                "rounds": 3,
                "threat_model": "",
                "accuracy": accuracy,
                "worst_class_accuracy": accuracy - 0.1,
                "bias": 0.1,
                "attack_success_rate": 0.5 if attack == "b" else np.nan,
            }
        )
    return pd.DataFrame(rows)


def test_the_worst_row_of_each_group() -> None:
    frame = pd.DataFrame(
        {"attack": ["a", "b", "a", "b", "a"], "seed": [0, 0, 1, 1, 2], "y": [3.0, 1.0, 2.0, 2.0, 0.0]}
    )
    low = worst_rows(frame, "attack", ["seed"], "y", highest=False)
    assert low[["attack", "seed", "y"]].to_numpy().tolist() == [["b", 0, 1.0], ["a", 1, 2.0]]
    high = worst_rows(frame, "attack", ["seed"], "y", highest=True)
    assert high["attack"].tolist() == ["a", "a"]
    assert 2 not in low["seed"].tolist(), "seed 2 lacks an attack: the worst of fewer would look better"


def test_the_scorecard_by_hand() -> None:
    scores = scorecard(STUDY, results())
    assert [(s.spread, s.defence) for s in scores] == [
        (10.0, "mine"),
        (10.0, "no defence"),
        (0.3, "mine"),
        (0.3, "no defence"),
    ]
    mine, none = scores[0], scores[1]
    assert mine.without["accuracy"].mean == pytest.approx(88)
    worst = mine.under["accuracy"]
    assert worst.found.mean == pytest.approx((83 + 82 + 83 + 82) / 4), (
        "below the mean of either attack, 84.5 and 83.5"
    )
    assert (worst.attacks, worst.times, worst.extreme) == (("a", "b"), 2, near(82))
    assert none.under["accuracy"].attacks == ("a",)
    assert none.under["accuracy"].times == 4
    assert none.under["accuracy"].found.mean == pytest.approx(61.5)
    assert mine.under["attack_success_rate"].attacks == ("b",), "only b measures it"
    assert scores[2].without["accuracy"].mean == pytest.approx(68)


def test_attacks_that_tie_in_a_seed_count_there_both() -> None:
    """a is the worst in two seeds alone, b in the other two and as bad in the first: it is the worst in the most."""
    frame = results()
    mine = (frame["alpha"] == 10.0) & (frame["defence"] == "mine") & (frame["seed"].isin([0, 1, 3]))
    frame.loc[mine & frame["attack"].isin(["a", "b"]), "worst_class_accuracy"] = 0.0
    frame.loc[mine & (frame["attack"] == "a") & (frame["seed"] == 3), "worst_class_accuracy"] = 0.1
    found = scorecard(STUDY, frame)[0].under["worst_class_accuracy"]
    assert (found.attacks, found.times, found.found.n) == (("a", "b"), 3, 4)
    frame.loc[mine & (frame["attack"] == "a") & (frame["seed"] == 1), "worst_class_accuracy"] = 0.1
    found = scorecard(STUDY, frame)[0].under["worst_class_accuracy"]
    assert (found.attacks, found.times, found.found.n) == (("b",), 3, 4), "the first in seed 0 is a"
    assert len(found.found.runs) == 4, "one run of each seed"


def test_what_was_not_measured_has_no_worst() -> None:
    frame = results().drop(columns="attack_success_rate")
    assert worst_runs(STUDY, frame, "attack_success_rate").empty
    assert "attack_success_rate" not in scorecard(STUDY, frame)[0].under


def test_the_worst_group_is_in_the_scorecard_of_data_with_groups_alone() -> None:
    bare = results()
    score = scorecard(STUDY, bare.assign(worst_group_accuracy=bare["accuracy"] - 0.3))[0]
    assert score.without["worst_group_accuracy"].mean == pytest.approx(58)
    assert score.under["worst_group_accuracy"].found.mean == pytest.approx(52.5)
    score = scorecard(STUDY, bare)[0]
    assert "worst_group_accuracy" not in {*score.without, *score.under}


def test_the_harm_is_that_of_the_attack_with_the_lowest_mean() -> None:
    assert harm(STUDY, results(), "no defence") == {10.0: pytest.approx(28.5), 0.3: pytest.approx(28.5)}


def test_a_study_that_is_no_audit_has_no_scorecard() -> None:
    plain = Study.model_validate({k: v for k, v in CONTENT.items() if k != "audit"})
    assert scorecard(plain, results()) == []
    assert scorecard(STUDY, results().iloc[:0]) == []


def claim(**changes: Any) -> Claim:
    content = {
        "text": "t",
        "metric": "accuracy",
        "direction": "rises",
        "compare": {"defence": ["no defence", "mine"]},
        "worst_of": "attack",
    }
    return Claim.model_validate({**content, **changes})


def test_a_claim_about_the_worst_attack() -> None:
    (found,) = judge(STUDY, results(), [claim(where={"alpha": 10.0})])
    each = [82.5 + (0.5 if s % 2 == 0 else -0.5) - (60 + s) for s in SEEDS]
    assert found.effect == pytest.approx(np.mean(each))
    assert found.verdict == "holds"
    assert found.tested.endswith(", each seed's worst of all attack labels but no attack")
    assert "worst attack" in found.why
    assert len(found.runs) == 8


def test_it_is_looked_at_at_each_alpha_and_depends_on_it() -> None:
    (found,) = judge(STUDY, results(), [claim()])
    assert [round(place.effect, 1) for place in found.places] == [21.0, 1.0]


def test_the_worst_of_a_rate_that_should_be_low_is_the_highest() -> None:
    frame = results()
    frame.loc[frame["attack"] == "a", "attack_success_rate"] = 0.9
    (found,) = judge(STUDY, frame, [claim(metric="attack_success_rate", direction="falls")])
    assert found.effect == 0


def test_no_attack_is_no_attack_where_it_is_the_worst() -> None:
    """A rule that is worse without an attack: table and claim say the same of its worst attack."""
    frame = results()
    frame.loc[(frame["defence"] == "mine") & (frame["attack"] == "no attack"), "accuracy"] = 0.1
    (found,) = judge(STUDY, frame, [claim(where={"alpha": 10.0})])
    mine, none = scorecard(STUDY, frame)[:2]
    assert found.effect == pytest.approx(
        mine.under["accuracy"].found.mean - none.under["accuracy"].found.mean
    )
    assert found.effect > 0


def test_a_defence_that_lacks_an_attack_has_no_worst() -> None:
    """Else the worst of fewer attacks would stand beside that of all."""
    frame = results()
    frame = frame[~((frame["defence"] == "mine") & (frame["attack"] == "a"))]
    mine, none = scorecard(STUDY, frame)[:2]
    assert "accuracy" not in mine.under
    assert none.under["accuracy"].found.n == 4


def test_what_is_left_is_the_lower_of_two_shares() -> None:
    frame = pd.DataFrame({"accuracy": [0.9, 0.9, 0.5], "attack_success_rate": [np.nan, 0.8, 0.1]})
    assert what_is_left(frame).tolist() == pytest.approx([0.9, 0.2, 0.5])
    assert what_is_left(frame[["accuracy"]]).tolist() == [0.9, 0.9, 0.5]


def test_what_is_tested_says_so() -> None:
    assert "averaged over alpha" in what_is_tested(STUDY, claim())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"worst_of": "nothing"}, "unknown axis"),
        ({"worst_of": "defence"}, "the axis 'defence' is used twice"),
        ({"metric": "update_norm_honest"}, "nothing says which update_norm_honest is the worst"),
    ],
)
def test_a_worst_case_that_is_none_is_refused(changes: dict[str, Any], words: str) -> None:
    study = Study.model_validate({**CONTENT, "claims": [claim(**changes).model_dump(exclude_none=True)]})
    with pytest.raises(ConfigError) as refused:
        planned_runs(study)
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"defence": "yours"}, "audit.defence: unknown label of defence 'yours'"),
        ({"undefended": "bare"}, "audit.undefended: unknown label of defence 'bare'"),
        ({"no_attack": "peace"}, "audit.no_attack: unknown label of attack 'peace'"),
        ({"attacks": "enemy"}, "audit.attacks: unknown axis 'enemy'"),
        ({"attacks": "defence"}, "audit.attacks: is the same axis"),
        ({"defence": "no defence"}, "is the setting without a defence"),
    ],
)
def test_an_audit_whose_parts_are_not_there_is_refused(changes: dict[str, Any], words: str) -> None:
    study = Study.model_validate({**CONTENT, "audit": {"defence": "mine", **changes}})
    with pytest.raises(ConfigError) as refused:
        planned_runs(study)
    assert words in refused.value.message


def test_one_axis_says_how_the_data_is_spread() -> None:
    axes = {**CONTENT["axes"], "rounds_": {"field": "rounds", "values": [1, 2]}}
    with pytest.raises(ConfigError, match="one axis besides these two"):
        planned_runs(Study.model_validate({**CONTENT, "axes": axes}))
