"""Claims point by point of the axis: verdicts of their own, seeds that are torn, which axis it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.test_claims import BOTH, CONTENT, NOISE, STUDY, claim, grid
from fedskew.analysis import Judgement, judge
from fedskew.analysis.groups import two_groups
from fedskew.report.words import verdict_lines
from fedskew.study.across import axis_across
from fedskew.study.grid import Study

EIGHT = range(8)
NORM_SELECTION = [17.8, 16.4, -79.1, -78.6, -72.2, -82.2, -78.8, -82.3]
"""Backdoor accuracy, a defence minus FedAvg, alpha = 0.3, seeds 0 to 7, as measured: it fails in two of eight seeds."""


def effects(*at: list[float]) -> pd.DataFrame:
    """Results in which RLR changes the backdoor accuracy by these points, at alpha 1, 0.5 and 0.25, seed by seed."""
    return grid(
        range(len(at[0])),
        backdoor_accuracy=lambda h, s, seed: 0.8 + (at[int(h)][seed] / 100 if "RLR" in s else 0),
    )


def lowers(results: pd.DataFrame, **changes: Any) -> Judgement:
    asked = {"metric": "backdoor_accuracy", "compare": BOTH, "over": None} | changes
    (found,) = judge(STUDY, results, [claim(**asked)])
    return found


STEADY = [-75 + 100 * NOISE[seed] for seed in EIGHT]


def test_a_defence_that_fails_in_two_of_eight_seeds_at_one_alpha() -> None:
    found = lowers(effects(STEADY, STEADY, NORM_SELECTION))
    assert found.p_holm < 0.05, "the mean over everything holds, which is what must not be said alone"
    assert (found.verdict, found.depends) == (
        "depends",
        "holds at alpha >= 0.5, not at 0.25 (there only in 6 of 8 seeds)",
    )
    assert found.worst == "alpha 0.25, seed 0 (+17.80)"
    assert [(place.label, place.torn, place.claimed, place.of) for place in found.places] == [
        (1.0, False, 8, 8),
        (0.5, False, 8, 8),
        (0.25, True, 6, 8),
    ]
    assert found.places[2].effect == pytest.approx(np.mean(NORM_SELECTION))


def test_where_only_that_alpha_is_asked_for() -> None:
    found = lowers(effects(STEADY, STEADY, NORM_SELECTION), where={"alpha": 0.25})
    assert (found.verdict, found.depends) == ("depends", "holds only in 6 of 8 seeds")
    assert found.places == ()


def test_the_same_effect_everywhere_has_one_verdict() -> None:
    found = lowers(effects(STEADY, STEADY, STEADY))
    assert (found.verdict, found.depends, found.size) == ("holds", "", "")
    assert {place.verdict for place in found.places} == {"holds"}


def test_effects_that_cancel_are_not_called_undecided() -> None:
    found = lowers(effects(STEADY, [0.0 + 100 * NOISE[s] for s in EIGHT], [-x for x in STEADY]))
    assert found.p_value > 0.05
    assert found.depends == "holds at alpha 1, not at 0.25, not decided at 0.5"


def test_a_place_with_little_data_that_agrees_does_not_turn_a_verdict() -> None:
    """At alpha 0.25 the spread is too large for a verdict of its own, but every seed agrees; then one does not."""
    wide = [-1.0, -2.0, -60.0, -1.5, -90.0, -1.2, -2.0, -1.0]
    assert lowers(effects(STEADY, STEADY, wide)).verdict == "holds"
    found = lowers(effects(STEADY, STEADY, [3.0, *wide[1:]]))
    assert found.depends == "holds at alpha >= 0.5, not decided at 0.25"


def test_the_size_of_an_effect_may_depend_on_alpha_where_its_sign_does_not() -> None:
    found = lowers(
        effects(STEADY, [x + 10 for x in STEADY], [x + 20 + 100 * NOISE[s] for s, x in enumerate(STEADY)])
    )
    assert (found.verdict, found.depends) == ("holds", "")
    assert found.size.startswith(
        "the difference changes over alpha: +10.00 percentage points per halving of alpha"
    )


def test_a_place_that_is_not_decided_is_said_beside_a_change_that_is_shown() -> None:
    """Every seed agrees at alpha 0.25, so the claim about the mean holds; but the places are not said to be alike."""
    small = [-1.0, -2.0, -16.0, -1.5, -12.0, -1.2, -2.0, -1.0]
    found = lowers(effects(STEADY, [x / 2 for x in STEADY], small))
    assert (found.verdict, found.depends) == ("holds", "")
    assert found.size
    assert [place.label for place in found.places_apart] == [0.25]
    assert (
        "the verdict is on the mean over alpha, over which the effect changes: by itself it would have another verdict "
        "at alpha 0.25 (not decided, 8 of 8 seeds on the claimed side)"
    ) in found.caution
    assert verdict_lines([found], {}) == [
        f"Claims that hold: {found.claim.text.rstrip('.')} (on average over alpha; alpha 1.0: −75.00; "
        "0.5: −37.50; 0.25: −4.59, not decided)."
    ]


def test_a_p_value_says_for_which_family_it_is_corrected() -> None:
    results = effects(STEADY, [x / 2 for x in STEADY], [x / 4 + NOISE[s] for s, x in enumerate(STEADY)])
    asked = claim(metric="backdoor_accuracy", compare=BOTH, over=None)
    (alone,) = judge(STUDY, results, [asked])
    first, _ = judge(STUDY, results, [asked, asked])
    assert "corrected" not in alone.size
    assert first.size.endswith(" corrected for 2 such changes)")
    assert " corrected for 2 claims)" in first.why


def test_decided_here_and_not_there_is_no_difference() -> None:
    """The same effect of -5 points everywhere with a spread of 5: at some points it is decided and at others not."""
    rng, verdicts, mixed = np.random.default_rng(7), [], 0
    for _ in range(40):
        found = lowers(effects(*rng.normal(-5, 5, (3, 8)).tolist()))
        verdicts.append(found.verdict)
        mixed += len({place.verdict for place in found.places}) > 1
    assert mixed > 10, "what must not be taken for a difference is there"
    assert verdicts.count("depends") <= 2


def test_a_claim_about_a_slope_shows_what_it_is_formed_of() -> None:
    results = grid(accuracy=lambda h, s, seed: 0.9 - 0.02 * h + NOISE[seed] * h)
    (found,) = judge(STUDY, results, [claim()])
    assert [round(place.effect) for place in found.places] == [90, 88, 86]
    assert {place.verdict for place in found.places} == {None}
    assert found.verdict == "holds"
    assert found.worst == "seed 2 (-1.70)", "the slope that is farthest from what is claimed"


def test_places_are_corrected_together_over_all_claims() -> None:
    results = effects(STEADY, STEADY, STEADY)
    asked = claim(metric="backdoor_accuracy", compare=BOTH, over=None)
    (alone,) = judge(STUDY, results, [asked])
    first, _ = judge(STUDY, results, [asked, asked])
    for one, two in zip(alone.places, first.places, strict=True):
        assert one.p_holm == pytest.approx(3 * one.p_value)
        assert two.p_holm == pytest.approx(6 * two.p_value)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (
            {
                "q": {"field": "split.classes_per_client", "values": [1, 2]},
                "k": {"field": "rounds", "values": [1, 2]},
            },
            "q",
        ),
        (
            {
                "k": {"field": "rounds", "values": [1, 2]},
                "q": {"field": "split.classes_per_client", "values": [1, 2]},
            },
            "q",
        ),
        ({"s": {"variants": {"a": {}, "b": {"rounds": 2}}}, "k": {"field": "rounds", "values": [1, 2]}}, "k"),
        ({"s": {"variants": {"a": {}, "b": {"rounds": 2}}}}, "s"),
        (
            {
                "s": {"variants": {"iid": {"split": "iid"}, "one": {"split.classes_per_client": 1}}},
                "k": CONTENT["axes"]["alpha"],
            },
            "s",
        ),
        (CONTENT["axes"], "alpha"),
        ({}, None),
    ],
)
def test_which_axis_goes_from_left_to_right(axes: dict[str, Any], expected: str | None) -> None:
    assert axis_across(Study.model_validate({"name": "s", "axes": axes})) == expected


# --- two groups -----------------------------------------------------------------------------------


def test_two_groups_by_hand() -> None:
    found = two_groups(NORM_SELECTION, apart=10)
    assert found is not None
    assert (found.few, found.many) == ((0, 1), (2, 3, 4, 5, 6, 7))
    assert found.few_mean == pytest.approx(17.1)
    assert found.many_mean == pytest.approx(np.mean(NORM_SELECTION[2:]))
    one = two_groups([5.0, 4.0, 97.0, 6.0, 5.5], apart=10)
    assert one is not None
    assert one.few == (2,), "a single seed may be a group"


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [5.0, 5.0, 97.0], [3.0] * 8, [1.0, 2, 3, 4, 5, 6, 7, 8], [5.0, 5.1, 5.0, 9.0, 5.1, 9.1]],
)
def test_no_two_groups(values: list[float]) -> None:
    """Too few, all the same, evenly spread, or groups that lie less than 10 points apart."""
    assert two_groups(values, apart=10) is None


def test_normal_samples_are_rarely_taken_for_two_groups() -> None:
    rng = np.random.default_rng(5)
    for n in (5, 8, 20):
        found = sum(two_groups(rng.standard_normal(n).tolist()) is not None for _ in range(4000))
        assert found <= 14, "4 of 4,000 are expected"


@settings(deadline=None)
@given(
    st.lists(st.integers(-1000, 1000).map(float), min_size=4, max_size=60),
    st.integers(1, 1000),
    st.integers(-1000, 1000),
)
def test_groups_do_not_depend_on_unit_order_or_zero(values: list[float], scale: int, shift: int) -> None:
    # With no least distance: the usual one is a share of the largest value, which depends on what 0 is.
    found, moved = two_groups(values, 0.0), two_groups([scale * value + shift for value in values], 0.0)
    assert (found and (found.few, found.many)) == (moved and (moved.few, moved.many))
    turned = two_groups(values[::-1], 0.0)
    assert (found is None) == (turned is None)
    if found:
        assert sorted((*found.few, *found.many)) == list(range(len(values)))
        assert len(found.few) <= len(found.many)
