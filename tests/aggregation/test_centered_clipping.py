"""Centred clipping: by hand over rounds, against a plain loop, and its limiting cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation.centered_clipping import centered_clipping
from fedskew.aggregation.mean import mean
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def rounds(matrices: list[object], **options: float) -> list[tuple[Tensor, list[float]]]:
    rule, found = centered_clipping(**options), []  # type: ignore[arg-type]
    state = rule.init()
    for matrix in matrices:
        delta, trace, state = rule.apply(client_updates(matrix), VIEW, state)  # type: ignore[arg-type]
        assert trace.client_weights is not None
        found.append((delta, trace.client_weights.tolist()))
    return found


def test_the_second_round_clips_around_the_result_of_the_first() -> None:
    # From 0 the distances are 1, 2, 30 with the median 2, so the third row becomes 2: (1 + 2 + 2) / 3 = 5/3.
    # From 5/3 they are 1/3, 1/3, 25/3 with the median 1/3: 5/3 + (1/3 - 1/3 - 1/3) / 3 = 14/9.
    first, second = rounds([[[1.0], [2], [30]], [[2.0], [4 / 3], [-20 / 3]]])
    assert first[0].tolist() == pytest.approx([5 / 3])
    assert first[1] == pytest.approx([1 / 3, 1 / 3, 1 / 45])
    assert second[0].tolist() == pytest.approx([14 / 9])
    assert second[1] == pytest.approx([1 / 3, 1 / 3, 1 / 75])


def test_iterations_keep_the_radius_of_the_round() -> None:
    # The radius is 2. From 5/3 the distances are 2/3, 1/3, 85/3, so the third row adds 2: 5/3 + (-2/3 + 1/3 + 2) / 3.
    ((delta, _),) = rounds([[[1.0], [2], [30]]], iterations=2)
    assert delta.tolist() == pytest.approx([5 / 3 + 5 / 9])


def test_where_more_than_half_of_the_updates_are_the_centre_it_stays() -> None:
    ((delta, weights),) = rounds([[[0.0], [0], [0], [5], [7]]])
    assert delta.tolist() == [0]
    assert weights == pytest.approx([0.2, 0.2, 0.2, 0, 0])


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_with_a_large_tau_it_is_the_mean_also_in_later_rounds(count: int, iterations: int) -> None:
    matrices = [np.random.default_rng(seed).standard_normal((count, 20)) for seed in range(3)]
    found = rounds([*matrices], tau=1e12, iterations=iterations)
    for matrix, (delta, weights) in zip(matrices, found, strict=True):
        assert torch.allclose(delta, mean(client_updates(matrix), VIEW), rtol=1e-6, atol=1e-7)
        assert weights == pytest.approx([1 / count] * count)


@PROPERTY
@given(delta_matrices(), st.sampled_from([0.3, 1.0, 2.0]), st.integers(1, 4), st.integers(0, 100))
def test_it_agrees_with_a_plain_loop_over_two_rounds(
    deltas: np.ndarray, tau: float, iterations: int, seed: int
) -> None:
    other = np.random.default_rng(seed).standard_normal(deltas.shape).astype(np.float32)
    centre = np.zeros(deltas.shape[1])
    for matrix, (delta, weights) in zip(
        (deltas, other), rounds([deltas, other], tau=tau, iterations=iterations), strict=True
    ):
        rows, start = matrix.astype(np.float64), centre
        radius = tau * float(np.median(np.linalg.norm(rows - centre, axis=1)))
        for _ in range(iterations):
            moves = []
            for row in rows:
                apart = float(np.linalg.norm(row - centre))
                moves.append((row - centre) * (min(1.0, radius / apart) if apart else 1.0))
            centre = centre + np.mean(moves, axis=0)
        scale = max(1.0, float(np.abs(deltas).max()))
        assert delta.numpy() == pytest.approx(centre, rel=1e-5, abs=1e-5 * scale)
        stated = np.array(weights) @ rows + (1 - sum(weights)) * start
        assert stated == pytest.approx(centre, rel=1e-5, abs=1e-5 * scale)
        centre = delta.double().numpy()


def test_one_update_moves_the_result_by_at_most_its_share_of_the_radius() -> None:
    honest = np.random.default_rng(0).standard_normal((9, 20))
    radius = float(np.median(np.linalg.norm(honest, axis=1)))
    base = np.concatenate([honest, np.zeros((1, 20))])
    for size in (1e2, 1e9):
        attacked = base.copy()
        attacked[-1] = size
        moved = rounds([attacked])[0][0] - rounds([base])[0][0]
        assert float(moved.norm()) < 1.2 * radius / 10
