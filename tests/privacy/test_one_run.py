"""The bound from one run: the paper's own numbers, a slow reference, and its confidence, exactly."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fedskew.errors import ConfigError
from fedskew.privacy import one_run
from fedskew.privacy.one_run import epsilon_bound, p_value
from helpers import PROPERTY


def slow(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """The theorem term by term."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    probability = [math.comb(guesses, w) * q**w * (1 - q) ** (guesses - w) for w in range(guesses + 1)]
    steepest = max(
        (sum(probability[right - i : right]) / i for i in range(1, right + 1)),
        default=0.0,
    )
    return min(1.0, sum(probability[right:]) + 2 * canaries * delta * steepest)


@PROPERTY
@given(st.data(), st.integers(1, 60), st.floats(0, 6), st.sampled_from([0.0, 1e-5, 1e-3, 0.1]))
def test_the_p_value_is_the_theorems(data: st.DataObject, guesses: int, epsilon: float, delta: float) -> None:
    right, more = data.draw(st.integers(0, guesses)), data.draw(st.integers(0, 50))
    found = p_value(guesses + more, guesses, right, epsilon, delta)
    assert found == pytest.approx(slow(guesses + more, guesses, right, epsilon, delta), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("case", "printed"),
    [((1000, 100, 75, 1e-4), 0.673), ((100_000, 1510, 1439, 1e-5), 2.675)],
)
def test_the_numbers_that_the_paper_prints(case: tuple[int, int, int, float], printed: float) -> None:
    assert epsilon_bound(*case, confidence=0.95) == pytest.approx(printed, abs=1e-3)
    assert not doctest.testmod(one_run).failed


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_bound_has_the_confidence_that_it_claims_and_not_much_more(
    epsilon: float, confidence: float
) -> None:
    """Randomised response is epsilon-private, and its right guesses are binomial: the probability that the bound is
    above epsilon can be summed up."""
    guesses = 400
    correct = 1 / (1 + math.exp(-epsilon))
    above = [
        float(binom.pmf(right, guesses, correct))
        for right in range(guesses + 1)
        if epsilon_bound(guesses, guesses, right, 0.0, confidence) > epsilon
    ]
    assert 0.5 * (1 - confidence) < sum(above) <= 1 - confidence


def test_more_right_guesses_and_a_lower_delta_raise_the_bound() -> None:
    bounds = [epsilon_bound(500, 100, right, 1e-5, 0.95) for right in range(50, 101, 5)]
    assert bounds == sorted(bounds)
    assert bounds[0] == 0 < bounds[-1]
    assert epsilon_bound(500, 100, 90, 0.0, 0.95) > epsilon_bound(500, 100, 90, 1e-3, 0.95)
    assert epsilon_bound(500, 100, 90, 0.0, 0.8) > epsilon_bound(500, 100, 90, 0.0, 0.99)
    assert epsilon_bound(500, 100, 100, 0.1, 0.95) == 0  # with such a delta nothing can be said


@pytest.mark.parametrize("case", [(10, 11, 5), (10, 5, 6), (10, 5, -1)])
def test_counts_that_cannot_be(case: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="must be 0 <= right <= guesses <= canaries"):
        p_value(*case, 1.0, 0.0)


@pytest.mark.parametrize(
    ("delta", "confidence"), [(1.0, 0.95), (0.0, 1.0), (-0.1, 0.95), (0.0, float("nan"))]
)
def test_numbers_out_of_range(delta: float, confidence: float) -> None:
    with pytest.raises(ConfigError, match="must be at least 0 and below 1"):
        epsilon_bound(10, 5, 5, delta, confidence)
