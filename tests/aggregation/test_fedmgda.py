"""FedMGDA+: by hand, its small quadratic programme against SciPy's solver, and what it promises clients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from fedskew.aggregation.fedmgda import fedmgda
from fedskew.aggregation.min_norm import shortest_mixture
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def both(deltas: Any, epsilon: float) -> tuple[Tensor, list[float]]:
    delta, trace = fedmgda(client_updates(deltas), VIEW, epsilon=epsilon)
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


@pytest.mark.parametrize(
    ("epsilon", "weights", "delta"),
    [
        (0.0, [0.25] * 4, [1.5, 0.5]),
        # Three along (1, 0) and one along (0, 1): the shortest has half of the weight on each direction.
        (0.1, [0.65 / 3] * 3 + [0.35], [1.3, 0.7]),
        (1.0, [0.5 / 3] * 3 + [0.5], [1.0, 1.0]),
    ],
)
def test_by_hand(epsilon: float, weights: list[float], delta: list[float]) -> None:
    # The median of the norms 1, 1, 3 and 9 is 2.
    found, given_weights = both([[1.0, 0], [1, 0], [9, 0], [0, 3]], epsilon)
    assert found.tolist() == pytest.approx(delta)
    assert given_weights == pytest.approx(weights)


def units(seed: int, rows: int, columns: int, common: float) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows + 1, columns))
    vectors = drawn[1:] + common * drawn[0]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1)[:, None])


@PROPERTY
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.sampled_from([0.0, 0.02, 0.1, 1.0]),
)
def test_the_programme_is_solved_as_well_as_by_scipy(
    seed: int, rows: int, columns: int, common: float, epsilon: float
) -> None:
    vectors = units(seed, rows, columns, common)
    inner = vectors @ vectors.T
    found = shortest_mixture(torch.from_numpy(inner), epsilon).numpy()
    low, high = max(0.0, 1 / rows - epsilon), min(1.0, 1 / rows + epsilon)
    reference = minimize(
        lambda x: float(x @ inner @ x),
        np.full(rows, 1 / rows),
        jac=lambda x: 2 * inner @ x,
        bounds=[(low, high)] * rows,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(rows)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    ).x
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() >= low - 1e-12
    assert found.max() <= high + 1e-12
    assert found @ inner @ found <= reference @ inner @ reference + 1e-9
    assert np.allclose(found @ vectors, reference @ vectors, atol=1e-4)


@pytest.mark.parametrize("copies", [1, 5])
@pytest.mark.parametrize("noise", [0.0, 1e-5])
def test_equal_or_nearly_equal_vectors_do_not_hold_it_up(copies: int, noise: float) -> None:
    once = units(1, 10, 20, 0.3)
    vectors = np.repeat(once, copies, axis=0)
    vectors += noise * np.random.default_rng(2).standard_normal(vectors.shape)
    found = shortest_mixture(torch.from_numpy(vectors @ vectors.T), 1.0).numpy()
    if not noise:
        assert found.reshape(10, copies).tolist() == [[share] * copies for share in found[::copies]]
    shortest = shortest_mixture(torch.from_numpy(once @ once.T), 1.0).numpy() @ once
    assert np.allclose(found @ vectors, shortest, atol=1e-4)


@PROPERTY
@given(delta_matrices())
def test_with_epsilon_1_the_result_points_away_from_no_client(deltas: np.ndarray) -> None:
    found, _ = both(deltas, 1.0)
    exact, result = deltas.astype(np.float64), found.double().numpy()
    slack = 1e-6 * np.linalg.norm(exact, axis=1) * (1 + np.median(np.linalg.norm(exact, axis=1)))
    assert (exact @ result >= -slack).all()


@PROPERTY
@given(delta_matrices(), st.sampled_from([0.0, 0.1, 1.0]))
def test_it_is_no_longer_than_the_median_and_the_order_does_not_matter(
    deltas: np.ndarray, epsilon: float
) -> None:
    found, weights = both(deltas, epsilon)
    median = float(np.median(np.linalg.norm(deltas.astype(np.float64), axis=1)))
    assert float(found.double().norm()) <= median * (1 + 1e-5)
    assert sum(weights) == pytest.approx(1)
    turned, _ = both(deltas[::-1].copy(), epsilon)
    assert np.allclose(turned.numpy(), found.numpy(), atol=3e-6 * (median + 1e-30))


@PROPERTY
@given(delta_matrices(), st.sampled_from([0.5, 4.0, 2.0**20]))
def test_scaled_updates_give_the_scaled_result(deltas: np.ndarray, scale: float) -> None:
    # Powers of two, so that nothing is rounded differently.
    found, weights = both(deltas * np.float32(2**-30), 0.2)
    scaled, same = both(deltas * np.float32(2**-30 * scale), 0.2)
    assert torch.allclose(scaled, found * scale, rtol=1e-6, atol=0)
    assert same == weights


def test_a_long_update_counts_no_more_than_a_short_one() -> None:
    rows = torch.eye(5)
    far = rows.clone()
    far[0] *= 1e6
    assert torch.allclose(both(rows, 0.3)[0], both(far, 0.3)[0])


def test_a_client_that_sends_nothing_stops_the_others_unless_epsilon_is_small() -> None:
    rows = torch.ones(10, 3)
    rows[0] = 0
    stopped, weights = both(rows, 1.0)
    assert stopped.tolist() == [0, 0, 0]
    assert weights[0] == pytest.approx(1)
    bounded, weights = both(rows, 0.1)
    assert weights[0] == pytest.approx(0.2)
    assert bounded.tolist() == pytest.approx([0.8] * 3)
    assert both(torch.zeros(3, 2), 0.5)[0].tolist() == [0, 0]
