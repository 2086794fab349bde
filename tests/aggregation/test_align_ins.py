"""AlignIns: by hand, against a plain loop, and where nobody is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation.align_ins import align_ins
from fedskew.aggregation.mean import mean
from fedskew.rounding import whole
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def aligned(deltas: Any, weights: Any, **options: Any) -> tuple[Tensor, list[float]]:
    view = replace(VIEW, global_weights=torch.as_tensor(weights, dtype=torch.float32))
    delta, trace = align_ins(client_updates(deltas), view, **options)
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


def test_by_hand() -> None:
    # Directions: cosines with (1, 0) are 1, 0.6, 0.6, 0.6, -1; median 0.6, deviation 0.70: scores 0.57, 0, 0, 0, 2.28.
    # Signs of the largest entry (0.5 of two): principal (+, +): agreement 1, 1, 1, 1, 0; scores 0 and 2.5.
    deltas = [[2.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.6, 0.8], [-1.0, 0.0]]
    delta, weights = aligned(deltas, [1.0, 0.0], sparsity=0.5)
    assert weights == [0.25, 0.25, 0.25, 0.25, 0]
    # Norms 2, 5, 10 and 1; their median is 3.5.
    assert delta.tolist() == pytest.approx([(2 + 2.1 + 2.1 + 0.6) / 4, (0 + 2.8 + 2.8 + 0.8) / 4])
    # A radius of half a deviation leaves out the first too.
    assert aligned(deltas, [1.0, 0.0], sparsity=0.5, lambda_c=0.5)[1] == [0, *[pytest.approx(1 / 3)] * 3, 0]


def plain(deltas: np.ndarray, weights: np.ndarray, sparsity: float) -> tuple[np.ndarray, np.ndarray]:
    """TDA and MPSA, entry by entry."""
    principal = np.sign(np.sign(deltas).sum(axis=0))
    directions, agreements = [], []
    for row in deltas:
        lengths = np.linalg.norm(row) * np.linalg.norm(weights)
        directions.append(row @ weights / lengths if lengths else 0.0)
        smallest = sorted(np.abs(row))[-max(1, whole(sparsity * len(row)))]
        counted = [i for i, entry in enumerate(row) if abs(entry) >= smallest]
        agreements.append(np.mean([np.sign(row[i]) == principal[i] for i in counted]))
    return np.round(directions, 9), np.round(agreements, 9)


@PROPERTY
@given(
    delta_matrices(), st.integers(0, 99), st.sampled_from([0.3, 0.5, 1.0]), st.sampled_from([0.7, 1.0, 1.6])
)
def test_it_agrees_with_a_plain_loop(deltas: np.ndarray, seed: int, sparsity: float, radius: float) -> None:
    exact = deltas.astype(np.float64)
    weights = np.random.default_rng(seed).normal(size=(deltas.shape[1],)).astype(np.float32)
    kept = np.ones(len(deltas), bool)
    for measured in plain(exact, weights.astype(np.float64), sparsity):
        spread = measured.std()
        score = np.abs(measured - np.median(measured)) / spread if spread else np.zeros(len(deltas))
        kept &= np.round(score, 9) < radius
    found, shares = aligned(deltas, weights, lambda_s=radius, lambda_c=radius, sparsity=sparsity)
    assert [share > 0 for share in shares] == kept.tolist()
    norms = np.linalg.norm(exact, axis=1)
    bound = np.median(norms[kept]) if kept.any() else 0.0
    expected = np.zeros(deltas.shape[1])
    for row, length in zip(exact[kept], norms[kept], strict=True):
        expected += row * (bound / length if length > bound else 1.0) / kept.sum()
    assert found.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6 * (1 + bound))


@PROPERTY
@given(delta_matrices())
def test_scaling_all_updates_scales_the_result(deltas: np.ndarray) -> None:
    one, shares = aligned(deltas, np.ones(deltas.shape[1]))
    two, same = aligned(deltas * np.float32(2.0**10), np.ones(deltas.shape[1]))
    assert same == shares
    assert torch.allclose(two, one * 2.0**10, rtol=1e-6, atol=1e-30)  # below that, float32 has fewer digits


@pytest.mark.parametrize("deltas", [[[1.0, 2.0]] * 5, [[1.0, 2.0]], [[0.0, 0.0]] * 3])
def test_equal_updates_are_all_kept(deltas: list[list[float]]) -> None:
    delta, shares = aligned(deltas, [1.0, -1.0])
    assert shares == [pytest.approx(1 / len(deltas))] * len(deltas)
    assert torch.equal(delta, torch.tensor(deltas[0]))


def test_with_wide_radii_and_equal_lengths_it_is_the_mean() -> None:
    deltas = torch.nn.functional.one_hot(torch.arange(6)).float()
    delta, _ = aligned(deltas, np.arange(6), lambda_s=10.0, lambda_c=10.0)
    assert torch.equal(delta, mean(client_updates(deltas), VIEW))


def test_where_nobody_is_left_the_model_stays_as_it_is() -> None:
    # Of two different values both are one deviation from the median, and 1 is not below 1.
    delta, shares = aligned([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    assert shares == [0, 0]
    assert delta.tolist() == [0, 0]


def test_updates_with_turned_signs_are_left_out() -> None:
    common = torch.randn(500, generator=torch.Generator().manual_seed(0))
    rows = common + 0.5 * torch.randn(10, 500, generator=torch.Generator().manual_seed(1))
    rows[8:] *= -1e6
    delta, shares = aligned(rows, -common + 1)
    assert shares[8:] == [0, 0]
    honest = rows[:8]
    assert float((delta - honest.mean(dim=0)).norm()) < float(torch.cdist(honest, honest).max())
