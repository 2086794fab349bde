"""How evenly accuracies are spread: by hand, and what always holds."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.evaluation import fairness
from fedskew.evaluation.clients import held_out_metrics
from fedskew.evaluation.fairness import jain, worst_tenth
from fedskew.evaluation.metrics import clean_metrics
from fedskew.protocols import ClientEvaluation, Evaluation, Predictions
from helpers import PROPERTY

SHARES = st.lists(st.integers(0, 1000), min_size=1, max_size=50)
"""Accuracies in thousandths."""


def accuracies(thousandths: list[int]) -> Tensor:
    return torch.tensor(thousandths, dtype=torch.float64) / 1000


@pytest.mark.parametrize(
    ("clients", "mean"), [(1, 0.0), (9, 0.0), (19, 0.0), (20, 0.5), (39, 1.0), (40, 1.5)]
)
def test_the_worst_tenth_is_rounded_down_and_at_least_one(clients: int, mean: float) -> None:
    assert worst_tenth(torch.randperm(clients).double()) == mean


def test_the_example_of_jains_index() -> None:
    assert not doctest.testmod(fairness).failed


@pytest.mark.parametrize(
    ("found", "index"),
    [
        ([300], 1.0),
        ([700, 700, 700], 1.0),
        ([0, 0, 0], 1.0),  # all have the same
        ([0, 0, 500, 0], 1 / 4),  # one has all
        ([800, 800, 0, 0, 0], 2 / 5),
        ([900, 600, 300], 18**2 / (3 * (81 + 36 + 9))),
    ],
)
def test_jains_index(found: list[int], index: float) -> None:
    assert jain(accuracies(found)) == pytest.approx(index, rel=1e-14)


@PROPERTY
@given(SHARES, st.integers(1, 30))
def test_what_holds_for_jains_index(found: list[int], power: int) -> None:
    values = accuracies(found)
    index = jain(values)
    assert 1 / len(found) * (1 - 1e-14) <= index <= 1
    assert jain(values / 2**power) == index  # whatever the level
    assert jain(values.flip(0)) == pytest.approx(index, rel=1e-14)
    assert jain(values.repeat(3)) == pytest.approx(index, rel=1e-14)
    if any(found):
        variation = values.std(correction=0) / values.mean()
        assert index == pytest.approx(float(1 / (1 + variation**2)), rel=1e-12)


@PROPERTY
@given(SHARES)
def test_taking_from_the_worse_and_giving_to_the_better_lowers_jains_index(found: list[int]) -> None:
    low, high = found.index(min(found)), found.index(max(found))
    if found[low] == 0 or low == high or found[high] == 1000:
        return
    moved = list(found)
    moved[low] -= 1
    moved[high] += 1
    assert jain(accuracies(moved)) < jain(accuracies(found))


def test_of_twenty_classes_the_worst_tenth_is_two() -> None:
    labels = torch.arange(20)
    seen = Predictions(torch.where(labels == 7, 0, labels), torch.ones(20))
    evaluation = Evaluation(labels, seen, None, None, None, 0, torch.ones(1, 20), tuple(map(str, range(20))))
    found = clean_metrics(evaluation, (seen.classes == labels).double())
    assert found["worst_class_accuracy"] == 0
    assert found["class_accuracy_worst_tenth"] == 0.5
    assert found["class_accuracy_jain"] == pytest.approx(19 / 20)


def test_jains_index_of_held_out_data() -> None:
    # Client 0 has both of its images right, client 1 one of two.
    seen = Predictions(torch.tensor([0, 1, 1, 1]), torch.ones(4))
    found = held_out_metrics(
        ClientEvaluation(
            torch.tensor([0, 1, 0, 1]), seen, torch.tensor([0, 0, 1, 1]), torch.tensor([4, 9]), ("a", "b")
        )
    )
    assert found["held_out_accuracy_jain"] == 0.9
