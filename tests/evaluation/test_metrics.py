"""The standard metrics on three classes and six images, worked out by hand; then for any predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.evaluation.metrics import (
    backdoor_metrics,
    clean_metrics,
    client_metrics,
    per_class_accuracy,
    source_images,
    standard_metrics,
)
from fedskew.protocols import Evaluation, Predictions
from helpers import PROPERTY


def predictions(classes: Sequence[int], losses: Sequence[float] | None = None) -> Predictions:
    return Predictions(
        torch.tensor(classes, dtype=torch.int64),
        torch.ones(len(classes)) if losses is None else torch.tensor(losses),
    )


def toy(**changes: Any) -> Evaluation:
    """Two images of each of the classes 0, 1, 2; the target is class 2."""
    fields: dict[str, Any] = {
        "labels": torch.tensor([0, 0, 1, 1, 2, 2]),
        "clean": predictions([0, 0, 1, 2, 0, 1], [0.5, 0.25, 0.25, 2.0, 2.0, 1.0]),
        "triggered": predictions([2, 0, 2, 2, 2, 1]),
        "target": 2,
        "source_classes": None,
        "num_adversaries": 1,
        "client_label_counts": torch.tensor([[4, 0, 0], [1, 1, 2], [0, 3, 1]]),
        "class_names": ("a", "b", "c"),
    }
    return Evaluation(**(fields | changes))


# --- clean ------------------------------------------------------------------------------------------


def test_class_accuracies_of_the_toy() -> None:
    # class 0: 0, 0 -> 2/2; class 1: 1, 2 -> 1/2; class 2: 0, 1 -> 0/2
    assert per_class_accuracy(toy()).tolist() == [1.0, 0.5, 0.0]


def test_clean_metrics_of_the_toy() -> None:
    assert clean_metrics(toy(), per_class_accuracy(toy())) == pytest.approx(
        {
            "test_loss": 6 / 6,
            "accuracy": 3 / 6,
            "bias": 1 - 0,
            "worst_class_accuracy": 0,
            "class_accuracy_std": math.sqrt((0.5**2 + 0 + 0.5**2) / 3),  # about the mean 1/2
            "class_accuracy_worst_tenth": 0,
            "class_accuracy_jain": 1.5**2 / (3 * (1 + 0.25)),
        }
    )


def test_a_class_without_test_images_has_no_accuracy_and_is_left_out_of_the_bias() -> None:
    evaluation = toy(
        labels=torch.tensor([0, 0, 0, 0, 2, 2]),
        clean=predictions([0, 0, 0, 1, 2, 0]),
        class_names=tuple("abc"),
    )
    per_class = per_class_accuracy(evaluation)
    assert per_class[0] == 3 / 4
    assert per_class[1].isnan()
    assert per_class[2] == 1 / 2
    found = clean_metrics(evaluation, per_class)
    assert found["bias"] == pytest.approx(0.25)
    assert found["worst_class_accuracy"] == pytest.approx(0.5)
    assert found["class_accuracy_std"] == pytest.approx(0.125)


@pytest.mark.parametrize(("classes", "accuracy"), [([0, 0, 1, 1, 2, 2], 1.0), ([1, 1, 2, 2, 0, 0], 0.0)])
def test_a_model_that_is_always_right_or_always_wrong_has_no_bias(
    classes: list[int], accuracy: float
) -> None:
    found = standard_metrics(toy(clean=predictions(classes)))
    for name in ("accuracy", "worst_class_accuracy", "client_accuracy_mean", "client_accuracy_worst"):
        assert found[name] == pytest.approx(accuracy)
    for name in ("bias", "class_accuracy_std", "client_accuracy_std"):
        assert found[name] == pytest.approx(0)
    assert found["class_accuracy_jain"] == found["client_accuracy_jain"] == 1


def test_a_model_that_knows_one_class_alone_has_bias_1() -> None:
    assert standard_metrics(toy(clean=predictions([0] * 6)))["bias"] == 1.0


# --- clients ----------------------------------------------------------------------------------------


def test_client_accuracies_of_the_toy() -> None:
    # class accuracies 1, 1/2, 0. Client 0 holds class 0 alone: 1. Client 1 (1/4, 1/4, 1/2): 1/4 + 1/8 = 3/8.
    # Client 2 (0, 3/4, 1/4): 3/8. Mean 7/12; deviations 5/12, -5/24, -5/24.
    assert client_metrics(toy(), per_class_accuracy(toy())) == pytest.approx(
        {
            "client_accuracy_mean": 7 / 12,
            "client_accuracy_std": math.sqrt(((5 / 12) ** 2 + 2 * (5 / 24) ** 2) / 3),
            "client_accuracy_worst": 3 / 8,
            "client_accuracy_worst_tenth": 3 / 8,
            "client_accuracy_jain": (14 / 8) ** 2 / (3 * (64 + 9 + 9) / 64),
        }
    )


def test_a_client_is_not_judged_by_classes_that_have_no_test_images() -> None:
    evaluation = toy(
        labels=torch.tensor([0, 0, 0, 0, 2, 2]),
        clean=predictions([0, 0, 0, 1, 2, 0]),
        client_label_counts=torch.tensor([[1, 5, 1], [0, 9, 0]]),
    )
    # class accuracies 3/4, unknown, 1/2: client 0 has (1/2, -, 1/2); of client 1 nothing is known
    found = client_metrics(evaluation, per_class_accuracy(evaluation))
    assert found["client_accuracy_mean"] == found["client_accuracy_worst"] == pytest.approx(5 / 8)
    assert found["client_accuracy_std"] == 0


def test_without_honest_clients_that_have_data_there_are_no_client_accuracies() -> None:
    for counts in (torch.zeros(0, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)):
        assert client_metrics(toy(client_label_counts=counts), per_class_accuracy(toy())) == {}


def test_clients_with_the_test_sets_own_mix_all_see_the_accuracy() -> None:
    found = standard_metrics(toy(client_label_counts=torch.tensor([[5, 5, 5], [100, 100, 100]])))
    assert found["client_accuracy_mean"] == found["client_accuracy_worst"] == pytest.approx(found["accuracy"])


# --- backdoor ---------------------------------------------------------------------------------------


def test_backdoor_metrics_of_the_toy() -> None:
    # triggered 2 0 | 2 2 | 2 1: 4 of 6 are taken for class 2, 3 of the 4 that are not of it;
    # clean 0 0 | 1 2 | 0 1: 1 of the 4 that are not of it
    assert backdoor_metrics(toy()) == pytest.approx(
        {"backdoor_accuracy": 4 / 6, "attack_success_rate": 3 / 4, "target_share": 1 / 4}
    )


def test_without_adversaries_the_success_rate_is_what_the_trigger_does_by_itself() -> None:
    assert backdoor_metrics(toy(num_adversaries=0)) == pytest.approx(
        {
            "backdoor_accuracy": 4 / 6,
            "attack_success_rate": 3 / 4,
            "target_share": 1 / 4,
            "clean_trigger_rate": 3 / 4,
        }
    )


@pytest.mark.parametrize(
    # class 0: 1 of 2; class 1: 2 of 2; the target class never counts as a source
    ("sources", "rate"),
    [((0,), 1 / 2), ((1,), 1.0), ((0, 1), 3 / 4), ((1, 2), 1.0)],
)
def test_the_success_rate_is_over_the_source_classes_that_are_not_the_target(
    sources: tuple[int, ...], rate: float
) -> None:
    found = backdoor_metrics(toy(source_classes=sources))
    assert found["attack_success_rate"] == pytest.approx(rate)
    assert found["backdoor_accuracy"] == pytest.approx(4 / 6)
    assert found["target_share"] == pytest.approx(1 / 4)


def test_without_images_of_a_source_class_there_is_no_success_rate() -> None:
    found = backdoor_metrics(toy(source_classes=(2,), num_adversaries=0))
    assert set(found) == {"backdoor_accuracy", "target_share"}
    only_target = toy(labels=torch.full((6,), 2))
    assert backdoor_metrics(only_target) == pytest.approx({"backdoor_accuracy": 4 / 6})


def test_of_a_tail_the_rate_is_that_of_its_source_images() -> None:
    tail = torch.tensor([True, False, False, True, True, True])
    # Of classes 0 and 1 the first and the fourth image are in it; triggered both are taken for class 2.
    found = backdoor_metrics(toy(tail=tail))
    assert found == pytest.approx(
        {"backdoor_accuracy": 4 / 6, "attack_success_rate": 1.0, "target_share": 1 / 4}
    )
    assert backdoor_metrics(toy(tail=~tail))["attack_success_rate"] == pytest.approx(1 / 2)


def test_without_a_trigger_the_tail_is_looked_at_as_it_is() -> None:
    tail = torch.tensor([True, False, False, True, True, True])
    # clean 0 . | . 2 | 0 1
    assert backdoor_metrics(toy(tail=tail, triggered=None, num_adversaries=0)) == pytest.approx(
        {"attack_success_rate": 1 / 2, "target_share": 1 / 4, "clean_trigger_rate": 1 / 2}
    )


@pytest.mark.parametrize("missing", [{"triggered": None}, {"target": None}])
def test_an_attack_without_a_backdoor_has_no_backdoor_metrics(missing: dict[str, Any]) -> None:
    evaluation = toy(**missing)
    assert backdoor_metrics(evaluation) == {}
    assert not {n for n in standard_metrics(evaluation) if "backdoor" in n or "attack" in n or "trigger" in n}


def test_a_perfect_model_that_ignores_the_trigger_has_a_backdoor_accuracy_of_the_target_classes_share() -> (
    None
):
    right = predictions([0, 0, 1, 1, 2, 2])
    found = backdoor_metrics(toy(clean=right, triggered=right))
    assert found == pytest.approx(
        {
            "backdoor_accuracy": 2 / 6,
            "attack_success_rate": 0,
            "target_share": 0,
        }  # the paper's counts class 2
    )


# --- any predictions --------------------------------------------------------------------------------


@st.composite
def evaluations(draw: st.DrawFn) -> Evaluation:
    classes = draw(st.integers(2, 5))
    total = draw(st.integers(1, 25))
    some = st.lists(st.integers(0, classes - 1), min_size=total, max_size=total)
    counts = st.lists(st.integers(0, 50), min_size=classes, max_size=classes)
    return Evaluation(
        labels=torch.tensor(draw(some)),
        clean=predictions(draw(some)),
        triggered=predictions(draw(some)) if draw(st.booleans()) else None,
        target=draw(st.integers(0, classes - 1)),
        source_classes=draw(st.sampled_from([None, (0,), (0, 1)])),
        num_adversaries=draw(st.integers(0, 2)),
        client_label_counts=torch.tensor(draw(st.lists(counts, min_size=1, max_size=4))),
        class_names=tuple("abcde"[:classes]),
    )


@PROPERTY
@given(evaluations())
def test_every_metric_is_a_fraction_and_bias_is_best_minus_worst(evaluation: Evaluation) -> None:
    found = standard_metrics(evaluation)
    per_class = [a for a in per_class_accuracy(evaluation).tolist() if not math.isnan(a)]
    assert all(0 <= value <= 1 + 1e-12 for value in found.values()), found
    assert found["bias"] == max(per_class) - min(per_class)
    assert found["worst_class_accuracy"] == min(per_class) <= found["accuracy"] <= max(per_class)
    assert found["class_accuracy_std"] <= found["bias"] / 2 + 1e-12
    assert found["class_accuracy_worst_tenth"] == found["worst_class_accuracy"]  # of fewer than 20 classes
    assert found["class_accuracy_jain"] >= 1 / len(per_class) - 1e-12
    if "client_accuracy_mean" in found:
        tenth = found["client_accuracy_worst_tenth"]
        assert found["client_accuracy_worst"] <= tenth + 1e-12 <= found["client_accuracy_mean"] + 2e-12
    assert ("backdoor_accuracy" in found) == (evaluation.triggered is not None)
    assert ("clean_trigger_rate" in found) == (
        "attack_success_rate" in found and evaluation.num_adversaries == 0
    )


@PROPERTY
@given(evaluations())
def test_class_accuracies_agree_with_the_confusion_table_counted_one_by_one(evaluation: Evaluation) -> None:
    classes = len(evaluation.class_names)
    confusion = np.zeros((classes, classes))
    for truth, guess in zip(evaluation.labels.tolist(), evaluation.clean.classes.tolist(), strict=True):
        confusion[truth, guess] += 1
    expected = [row[c] / row.sum() if row.sum() else math.nan for c, row in enumerate(confusion)]
    assert per_class_accuracy(evaluation).tolist() == pytest.approx(expected, nan_ok=True)
    assert standard_metrics(evaluation)["accuracy"] == pytest.approx(confusion.trace() / confusion.sum())


@PROPERTY
@given(evaluations())
def test_backdoor_metrics_agree_with_counting_one_by_one(evaluation: Evaluation) -> None:
    found = backdoor_metrics(evaluation)
    if evaluation.triggered is None:
        assert found == {}
        return
    labels, target = evaluation.labels.tolist(), evaluation.target
    triggered, clean = evaluation.triggered.classes.tolist(), evaluation.clean.classes.tolist()
    sources = evaluation.source_classes or tuple(range(5))
    hits = [
        guess == target for guess, y in zip(triggered, labels, strict=True) if y in sources and y != target
    ]
    shares = [guess == target for guess, y in zip(clean, labels, strict=True) if y != target]
    assert found["backdoor_accuracy"] == pytest.approx(sum(g == target for g in triggered) / len(labels))
    assert found.get("attack_success_rate") == (pytest.approx(sum(hits) / len(hits)) if hits else None)
    assert found.get("target_share") == (pytest.approx(sum(shares) / len(shares)) if shares else None)


@PROPERTY
@given(evaluations(), st.integers(0, 2**32))
def test_the_order_of_the_test_images_does_not_matter(evaluation: Evaluation, seed: int) -> None:
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(evaluation.labels)))

    def shuffled(seen: Predictions | None) -> Predictions | None:
        return None if seen is None else Predictions(seen.classes[order], seen.losses[order])

    fields = vars(evaluation) | {
        "labels": evaluation.labels[order],
        "clean": shuffled(evaluation.clean),
        "triggered": shuffled(evaluation.triggered),
    }
    assert standard_metrics(Evaluation(**fields)) == pytest.approx(standard_metrics(evaluation))


def test_source_images_are_those_of_the_source_classes_outside_the_target() -> None:
    labels = torch.tensor([0, 1, 2, 1, 2])
    assert source_images(labels, 2, None).tolist() == [True, True, False, True, False]
    assert source_images(labels, 2, (1, 2)).tolist() == [False, True, False, True, False]
