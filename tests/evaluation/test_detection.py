"""Whom the weights of an aggregator leave out or give less, with the truth joined: by hand, and what always holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.evaluation.detection import detection_metrics, relative_weights


def test_a_rule_that_takes_two_of_five() -> None:
    found = detection_metrics({0: 0.5, 1: 0.5, 2: 0.0, 3: 0.0, 9: 0.0}, malicious={9})
    assert found == {
        "detection_true_positive_rate": 1.0,
        "detection_false_positive_rate": 0.5,
        "weight_malicious": 0.0,
        "down_weighted_malicious": 1.0,
        "down_weighted_honest": 0.5,
        "equal_weight_honest": 0.5,
    }


def test_a_rule_that_gives_nobody_exactly_zero() -> None:
    # In units of an equal weight, 0.25: 1.8, 1.6, 0.4 (down-weighted) and 0.2.
    found = detection_metrics({0: 0.45, 1: 0.4, 2: 0.1, 3: 0.05}, malicious={3})
    assert found == pytest.approx(
        {
            "detection_true_positive_rate": 0.0,
            "detection_false_positive_rate": 0.0,
            "weight_malicious": 0.05,
            "down_weighted_malicious": 1.0,
            "down_weighted_honest": 1 / 3,
            "equal_weight_honest": (1 + 1 + 0.4) / 3,
        }
    )


def test_a_rule_that_trusts_nobody_rejects_everybody() -> None:
    assert detection_metrics({0: 0.0, 1: 0.0}, malicious=()) == {
        "detection_false_positive_rate": 1.0,
        "down_weighted_honest": 1.0,
        "equal_weight_honest": 0.0,
    }
    assert detection_metrics({0: 1.0}, malicious={0}).keys() == {
        "detection_true_positive_rate",
        "weight_malicious",
        "down_weighted_malicious",
    }
    assert detection_metrics({}, malicious={0}) == {}


@given(
    st.dictionaries(st.integers(0, 50), st.floats(0, 1e6), min_size=1),
    st.sets(st.integers(0, 50)),
    st.integers(-10, 10),
)
def test_what_holds_for_any_weights(weights: dict[int, float], malicious: set[int], power: int) -> None:
    found = detection_metrics(weights, malicious)
    assert all(0 <= value <= 1 for value in found.values())
    for side, rate in (("honest", "false"), ("malicious", "true")):
        if f"down_weighted_{side}" in found:
            assert found[f"down_weighted_{side}"] >= found[f"detection_{rate}_positive_rate"]
    relative = relative_weights(weights)
    assert sum(relative.values()) == pytest.approx(len(weights) if any(weights.values()) else 0)
    # The unit of the weights is the rule's own; a power of two changes no bit but of the smallest numbers.
    scaled = {client: weight * 2.0**power for client, weight in weights.items()}
    if min((w for w in weights.values() if w), default=1.0) > 1e-300:
        assert detection_metrics(scaled, malicious) == found
