"""The geometric median: points known from geometry, a plain loop, and how far updates pull."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation.geometric_median import geometric_median
from helpers import PROPERTY, VIEW, client_updates, delta_matrices, near


def found(deltas: object, sizes: list[int] | None = None, **options: object) -> tuple[Tensor, list[float]]:
    delta, trace = geometric_median(client_updates(deltas, sizes), VIEW, **options)  # type: ignore[arg-type]
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


def test_of_four_corners_it_is_where_the_diagonals_cross() -> None:
    delta, weights = found([[0.0, 0], [30, 30], [0, 2], [2, 0]])
    assert delta.tolist() == pytest.approx([1, 1], rel=1e-4)
    # The distances are sqrt(2) three times, and 29 sqrt(2): the weights are as 1, 1, 1 and 1 / 29.
    assert weights == pytest.approx([29 / 88, 1 / 88, 29 / 88, 29 / 88], rel=1e-3)


def test_of_a_triangle_it_sees_all_sides_under_120_degrees() -> None:
    corners = np.array([[0.0, 0], [8, 0], [3, 5]])
    point = found(corners)[0].double().numpy()
    rays = (corners - point) / np.linalg.norm(corners - point, axis=1)[:, None]
    assert [float(rays[i] @ rays[i - 1]) for i in range(3)] == pytest.approx([-0.5] * 3, abs=1e-4)


def test_a_row_that_more_than_half_of_the_clients_sent_is_the_result() -> None:
    delta, weights = found([[1.0, 2], [1, 2], [1, 2], [9, 9], [-40, 7]])
    assert delta.tolist() == pytest.approx([1, 2], rel=1e-4)
    assert sum(weights[:3]) == pytest.approx(1, abs=1e-4)


def test_where_more_than_half_of_the_updates_are_0_the_model_stays_as_it_is() -> None:
    """The median norm is 0, and so is nu."""
    delta, weights = found([[0.0, 0], [0, 0], [0, 0], [3, 4], [0, 1]])
    assert delta.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert weights[:3] == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert found([[0.0, 0], [0, 0]]) == (near(torch.zeros(2)), [0.5, 0.5])


def test_numbers_of_examples_count_only_where_asked_for() -> None:
    deltas = [[0.0], [1], [10]]
    assert found(deltas, [1, 1, 50])[0].tolist() == pytest.approx([1], abs=1e-3)
    assert found(deltas, [1, 1, 50], weighted=True)[0].tolist() == pytest.approx([10], rel=1e-4)
    same = found(deltas, [7, 7, 7], weighted=True)
    assert torch.equal(same[0], found(deltas)[0])


def test_one_iteration_from_the_mean() -> None:
    # The mean of 0, 0, 6 is 2; the distances are 2, 2, 4, the weights 2/5, 2/5, 1/5.
    delta, weights = found([[0.0], [0], [6]], iterations=1)
    assert weights == pytest.approx([0.4, 0.4, 0.2])
    assert delta.tolist() == pytest.approx([1.2])


def test_smoothing_bounds_the_weight_of_near_rows() -> None:
    # The median norm is 4, so nu = 8: all distances from the mean 4 are smaller, and the result is the mean.
    assert found([[2.0], [4], [6]], smoothing=2.0)[0].tolist() == [4]


@PROPERTY
@given(delta_matrices(), st.integers(1, 12), st.booleans(), st.sampled_from([1e-5, 0.1]))
def test_it_agrees_with_a_plain_loop(
    deltas: np.ndarray, iterations: int, weighted: bool, smoothing: float
) -> None:
    rows = deltas.astype(np.float64)
    sizes = [1 + k for k in range(len(rows))]
    share = np.array(sizes if weighted else [1] * len(rows), dtype=np.float64)
    share /= share.sum()
    nu = smoothing * float(np.median(np.linalg.norm(rows, axis=1)))
    weights = share
    point = share @ rows
    for _ in range(iterations):
        apart = np.linalg.norm(rows - point, axis=1)
        pull = [a / max(nu, d) if max(nu, d) > 0 else math.inf for a, d in zip(share, apart, strict=True)]
        infinite = np.isinf(pull)
        weights = share * infinite if infinite.any() else np.array(pull)
        weights = weights / weights.sum()
        before, point = point, weights @ rows
        if np.linalg.norm(point - before) <= 1e-6 * np.median(apart):
            break
    delta, given_weights = found(deltas, sizes, iterations=iterations, weighted=weighted, smoothing=smoothing)
    scale = float(np.abs(rows).max())
    assert delta.numpy() == pytest.approx(point, rel=1e-5, abs=1e-5 * scale + 1e-40)
    assert given_weights == pytest.approx(weights.tolist(), abs=1e-4)


@pytest.mark.parametrize("distance", [1e2, 1e6, 1e12])
@pytest.mark.parametrize("f", [1, 3, 4])
def test_rows_however_far_pull_no_further_than_rows_that_are_far(f: int, distance: float) -> None:
    """And they do not end the iterations early, as they would if the sum of distances decided."""
    honest = np.random.default_rng(f).standard_normal((10 - f, 20))
    direction = np.ones(20) / 20**0.5
    points = [
        found(np.concatenate([honest, np.tile(d * direction, (f, 1))]))[0] for d in (distance, 10 * distance)
    ]
    # The honest updates' diameter is about 9.
    assert float((points[0] - points[1]).norm()) < 0.5


def test_the_authors_four_iterations_leave_a_share_of_the_pull() -> None:
    """As the docstring says."""
    honest = np.random.default_rng(0).standard_normal((7, 50))
    everyone = np.concatenate([honest, np.full((3, 50), 1e6 / 50**0.5)])
    moved = {
        n: float(np.linalg.norm(found(everyone, iterations=n)[0].numpy() - honest.mean(axis=0)))
        for n in (4, 16)
    }
    assert 1e4 < moved[4] < 1e5
    assert moved[16] < max(float(np.linalg.norm(a - b)) for a in honest for b in honest)
