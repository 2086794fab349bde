"""Min-Max and Min-Sum: that the row reaches the bound, against the authors' search for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from attack_helpers import crafted, view
from fedskew import craft
from fedskew.attacks.min_max import min_max
from fedskew.attacks.min_sum import min_sum
from fedskew.portable import row_mean
from helpers import PROPERTY, delta_matrices, toy_info

INFO = toy_info()
DIRECTIONS = st.sampled_from(["unit", "sign", "std"])


def farthest(row: np.ndarray, rows: np.ndarray) -> float:
    return max(float(np.linalg.norm(row - other)) for other in rows)


def squares(row: np.ndarray, rows: np.ndarray) -> float:
    return sum(float(np.linalg.norm(row - other)) ** 2 for other in rows)


def searched(
    rows: np.ndarray, direction: str, measure: Callable[[np.ndarray, np.ndarray], float], bound: float
) -> np.ndarray:
    """The authors' search: steps that halve, from a first one that is large enough."""
    mu = rows.mean(0)
    p = {"unit": mu, "sign": np.sign(mu), "std": rows.std(0, ddof=1)}[direction]
    p = p / np.linalg.norm(p)
    step = 4 * bound + 1
    gamma, reached = step, 0.0
    while step > 1e-9 * reached + 1e-12:
        step /= 2
        if measure(mu - gamma * p, rows) <= bound:
            reached, gamma = gamma, gamma + step
        else:
            gamma -= step
    found: np.ndarray = mu - reached * p
    return found


def drawn(seed: int, count: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(5) + generator.standard_normal((count, 5))).astype(np.float32)


@PROPERTY
@given(st.integers(0, 1000), st.integers(2, 9), DIRECTIONS)
def test_min_max_lies_within_the_largest_distance_and_reaches_it(
    seed: int, count: int, direction: Any
) -> None:
    rows = drawn(seed, count).astype(np.float64)
    bound = max(farthest(row, rows) for row in rows)
    (found,) = craft("min-max", rows, direction=direction).double().numpy()
    assert farthest(found, rows) == pytest.approx(bound, rel=1e-5)
    assert found == pytest.approx(searched(rows, direction, farthest, bound), abs=1e-4)


@PROPERTY
@given(st.integers(0, 1000), st.integers(2, 9), DIRECTIONS, st.sampled_from(["max", "min"]))
def test_min_sum_lies_within_the_sum_of_squares_and_reaches_it(
    seed: int, count: int, direction: Any, which: Any
) -> None:
    rows = drawn(seed, count).astype(np.float64)
    bound = {"max": max, "min": min}[which](squares(row, rows) for row in rows)
    (found,) = craft("min-sum", rows, direction=direction, bound=which).double().numpy()
    assert squares(found, rows) == pytest.approx(bound, rel=1e-5)
    assert found == pytest.approx(searched(rows, direction, squares, bound), abs=1e-4)


@pytest.mark.parametrize("name", ["min-max", "min-sum"])
@pytest.mark.parametrize("direction", ["unit", "sign", "std"])
def test_equal_updates_are_sent_as_they_are(name: str, direction: str) -> None:
    rows = [[1.5, -2.0, 0.0]] * 4
    assert craft(name, rows, adversaries=2, direction=direction).tolist() == rows[:2]


@pytest.mark.parametrize("name", ["min-max", "min-sum"])
@pytest.mark.parametrize("direction", ["unit", "sign"])
def test_a_mean_of_0_has_no_direction(name: str, direction: str) -> None:
    assert craft(name, [[1.0, -2.0], [-1.0, 2.0]], direction=direction).tolist() == [[0, 0]]


@pytest.mark.parametrize("make", [min_max, min_sum])
@PROPERTY
@given(delta_matrices())
def test_any_finite_updates_give_a_finite_row_whatever_their_order(make: Any, deltas: np.ndarray) -> None:
    def sent(rows: np.ndarray) -> Tensor:
        others = torch.from_numpy(rows.copy())
        return crafted(make(INFO), others[:1], view(torch.zeros(rows.shape[1]), others=others)).deltas

    found = sent(deltas)
    assert found.isfinite().all()
    size = float(np.abs(deltas).max())
    assert torch.allclose(sent(deltas[::-1]), found, rtol=1e-4, atol=1e-4 * size)


@pytest.mark.parametrize("make", [min_max, min_sum])
def test_they_can_go_by_their_own_updates(make: Any) -> None:
    attack, own = make(INFO, threat_model="own-updates"), torch.tensor([[0.0], [4.0]])
    assert (attack.threat_model, make(INFO).threat_model) == ("own-updates", "all-updates")
    # The mean is 2. Min-Max: 4 from 4; Min-Sum: 2 from 2.
    assert crafted(attack, own, view(torch.zeros(1), 2)).deltas.tolist() == [[0], [0]]
    alone = own[1:]
    assert torch.equal(crafted(attack, alone, view(torch.zeros(1))).deltas, row_mean(alone)[None])
