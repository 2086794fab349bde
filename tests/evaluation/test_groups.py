"""Groups of images: by hand, against a plain loop, against fairlearn, and what holds for any predictions."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.evaluation.groups import group_metrics, largest_difference, per_group_accuracy
from fedskew.evaluation.metrics import standard_metrics
from fedskew.protocols import Evaluation, Predictions
from helpers import PROPERTY

NAMES = ("old", "new", "other")


def evaluation(labels: list[int], classes: list[int], groups: list[int], **changes: Any) -> Evaluation:
    """Of the classes a, b, c and the groups old, new, other."""
    fields: dict[str, Any] = {
        "labels": torch.tensor(labels),
        "clean": Predictions(torch.tensor(classes), torch.ones(len(labels))),
        "triggered": None,
        "target": None,
        "source_classes": None,
        "num_adversaries": 0,
        "client_label_counts": torch.ones(1, 3, dtype=torch.int64),
        "class_names": ("a", "b", "c"),
        "groups": torch.tensor(groups),
        "group_names": NAMES,
    }
    return Evaluation(**(fields | changes))


def test_two_groups_of_three_classes_by_hand() -> None:
    # old: a a b b c -> a a b c c; new: a b b c -> a a b b. Nothing of the third group.
    found = evaluation([0, 0, 1, 1, 2, 0, 1, 1, 2], [0, 0, 1, 2, 2, 0, 0, 1, 1], [0] * 5 + [1] * 4)
    accuracies = per_group_accuracy(found)
    assert accuracies["old"] == 4 / 5
    assert accuracies["new"] == 2 / 4
    assert math.isnan(accuracies["other"])
    assert group_metrics(found) == pytest.approx(
        {
            "worst_group_accuracy": 1 / 2,
            "group_accuracy_gap": 4 / 5 - 1 / 2,
            # taken for a: 2/5, 2/4; for b: 1/5, 2/4; for c: 2/5, 0/4
            "demographic_parity_difference": 2 / 5,
            # of a: 2/2, 1/1; of b: 1/2, 1/2; of c: 1/1, 0/1
            "equalized_odds_difference": 1.0,
        }
    )


def test_a_false_positive_rate_may_be_what_differs_most() -> None:
    # old: a b b -> a a a; new: a b b -> a b b. True positives of a: 1, 1; of b: 0, 1. False positives of a: 1, 0.
    found = evaluation([0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1])
    assert group_metrics(found)["equalized_odds_difference"] == 1.0
    # Without images of b in the group old its true positive rate is not known; false positives of c: 1/2, 0.
    found = evaluation([0, 0, 0, 1, 1], [2, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    assert group_metrics(found)["equalized_odds_difference"] == 0.5


def test_what_is_not_known_of_two_groups_is_left_out() -> None:
    one = evaluation([0, 1, 2], [0, 1, 1], [1, 1, 1])
    assert group_metrics(one) == {}
    assert per_group_accuracy(one)["new"] == 2 / 3
    # Each group has a class of its own, and there is no third: no rate is known of both.
    apart = evaluation([0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], class_names=("a", "b"))
    assert group_metrics(apart) == {
        "worst_group_accuracy": 0.5,
        "group_accuracy_gap": 0.5,
        "demographic_parity_difference": 0.5,
    }
    assert largest_difference(torch.tensor([[math.nan, 0.25], [0.5, math.nan]])) is None


def test_without_groups_nothing_is_measured() -> None:
    for names in ((), NAMES):  # the groups of the training images alone may be known
        without = replace(evaluation([0, 1, 2], [0, 1, 1], [0, 0, 1]), groups=None, group_names=names)
        assert group_metrics(without) == per_group_accuracy(without) == {}
        assert not {name for name in standard_metrics(without) if "group" in name or "difference" in name}


@st.composite
def evaluations(draw: st.DrawFn, most: int = 4) -> Evaluation:
    classes, groups, total = draw(st.integers(2, most)), draw(st.integers(2, 3)), draw(st.integers(1, 30))

    def some(below: int) -> list[int]:
        return draw(st.lists(st.integers(0, below - 1), min_size=total, max_size=total))

    return evaluation(
        some(classes),
        some(classes),
        some(groups),
        class_names=tuple("abcd"[:classes]),
        group_names=NAMES[:groups],
        client_label_counts=torch.ones(1, classes, dtype=torch.int64),
    )


def plainly(found: Evaluation) -> dict[str, float]:
    """The same, image by image and pair by pair."""
    images = list(
        zip(found.labels.tolist(), found.clean.classes.tolist(), found.groups.tolist(), strict=True)  # type: ignore[union-attr]
    )
    groups, classes = range(len(found.group_names)), range(len(found.class_names))

    def rate(event: Any, given_: Any) -> float | None:
        there = [event(y, taken) for y, taken, g in images if given_(y, g)]
        return sum(there) / len(there) if there else None

    def differences(event: Any, given_: Any) -> list[float]:
        rates = [rate(event, lambda y, g, group=group: g == group and given_(y)) for group in groups]
        return [abs(a - b) for a, b in combinations([one for one in rates if one is not None], 2)]

    gap = differences(lambda y, taken: y == taken, lambda y: True)
    if not gap:
        return {}
    accuracies = [rate(lambda y, taken: y == taken, lambda y, g, group=group: g == group) for group in groups]
    parity, odds = [], []
    for c in classes:

        def is_c(y: int, taken: int, c: int = c) -> bool:
            return taken == c

        parity += differences(is_c, lambda y: True)
        odds += differences(is_c, lambda y, c=c: y == c) + differences(is_c, lambda y, c=c: y != c)
    return {
        "worst_group_accuracy": min(one for one in accuracies if one is not None),
        "group_accuracy_gap": max(gap),
        "demographic_parity_difference": max(parity),
        **({"equalized_odds_difference": max(odds)} if odds else {}),
    }


@PROPERTY
@given(evaluations())
def test_counting_one_by_one_gives_the_same(found: Evaluation) -> None:
    assert group_metrics(found) == pytest.approx(plainly(found), abs=1e-15)


@PROPERTY
@given(evaluations())
def test_what_holds_for_any_predictions(found: Evaluation) -> None:
    measured = standard_metrics(found)
    if "worst_group_accuracy" in measured:
        best = measured["worst_group_accuracy"] + measured["group_accuracy_gap"]
        assert 0 <= measured["worst_group_accuracy"] <= measured["accuracy"] <= best + 1e-15 <= 1 + 2e-15
        assert 0 <= measured["demographic_parity_difference"] <= 1
        assert 0 <= measured.get("equalized_odds_difference", 0) <= 1
    # The numbers of the groups and of the classes mean nothing.
    last = len(found.class_names) - 1
    assert found.groups is not None
    turned = evaluation(
        (last - found.labels).tolist(),
        (last - found.clean.classes).tolist(),
        (len(found.group_names) - 1 - found.groups).tolist(),
        class_names=found.class_names,
        group_names=found.group_names,
    )
    assert group_metrics(turned) == pytest.approx(group_metrics(found), abs=1e-15)


@PROPERTY
@given(evaluations())
def test_a_model_that_is_always_right_has_equal_odds(found: Evaluation) -> None:
    right = evaluation(
        found.labels.tolist(),
        found.labels.tolist(),
        found.groups.tolist(),  # type: ignore[union-attr]
        class_names=found.class_names,
        group_names=found.group_names,
    )
    measured = group_metrics(right)
    assert measured.get("group_accuracy_gap", 0) == measured.get("equalized_odds_difference", 0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_of_two_classes_they_are_those_of_fairlearn_whichever_is_positive(seed: int) -> None:
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    rng = np.random.default_rng(seed)
    labels, groups = np.arange(60) % 2, np.arange(60) // 2 % 3  # each group has images of both classes
    taken = np.where(rng.random(60) < 0.5 + 0.2 * groups, labels, rng.integers(0, 2, 60))
    found = evaluation(labels.tolist(), taken.tolist(), groups.tolist(), class_names=("a", "b"))
    measured = group_metrics(found)
    for y, seen in ((labels, taken), (1 - labels, 1 - taken)):
        parity = demographic_parity_difference(y, seen, sensitive_features=groups)
        odds = equalized_odds_difference(y, seen, sensitive_features=groups)
        assert measured["demographic_parity_difference"] == pytest.approx(parity, abs=1e-15)
        assert measured["equalized_odds_difference"] == pytest.approx(odds, abs=1e-15)


def test_of_more_classes_they_are_fairlearns_largest_of_one_class_against_the_rest() -> None:
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    rng = np.random.default_rng(0)
    labels, groups = np.arange(120) % 3, np.arange(120) // 3 % 2
    taken = np.where(rng.random(120) < 0.6 + 0.3 * groups, labels, rng.integers(0, 3, 120))
    measured = group_metrics(evaluation(labels.tolist(), taken.tolist(), groups.tolist()))
    for name, function in (
        ("demographic_parity_difference", demographic_parity_difference),
        ("equalized_odds_difference", equalized_odds_difference),
    ):
        each = [function(labels == c, taken == c, sensitive_features=groups) for c in range(3)]
        assert measured[name] == pytest.approx(max(each), abs=1e-15)
