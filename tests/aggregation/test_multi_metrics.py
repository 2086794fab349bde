"""Multi-metrics: by hand, against the authors' formula with NumPy, and where their inverse does not exist."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation.mean import fedavg
from fedskew.aggregation.multi_metrics import multi_metrics
from fedskew.errors import ConfigError
from helpers import PROPERTY, VIEW, client_updates


def chosen(
    deltas: Any, weights: Any, sizes: list[int] | None = None, **options: Any
) -> tuple[Tensor, list[float]]:
    view = replace(VIEW, global_weights=torch.as_tensor(weights, dtype=torch.float32))
    delta, trace = multi_metrics(client_updates(deltas, sizes), view, **options)
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


def test_by_hand() -> None:
    # One parameter: both distances sum up to 12, 10, 10, 24 and 24; the last two are equal. n_k weigh those taken.
    delta, weights = chosen([[0.0], [1.0], [2.0], [9.0]], [1.0], [4, 1, 3, 7], share=0.5)
    assert weights == [0, 0.25, 0.75, 0]
    assert delta.tolist() == [1.75]


def authors(models: np.ndarray) -> np.ndarray:
    """The scores by the authors' formula: the covariance with n - 1, its inverse, rows that are not centred."""
    count = len(models)
    table = np.zeros((count, 3))
    for i in range(count):
        for j in range(count):
            if i != j:
                one, other = models[i], models[j]
                lengths = np.linalg.norm(one), np.linalg.norm(other)
                table[i, 0] += (1 - one @ other / (lengths[0] * lengths[1])) ** 2
                table[i, 1] += np.abs(one - other).sum()
                table[i, 2] += abs(lengths[0] - lengths[1])
    inverse = np.linalg.inv(np.cov(table.T))
    return np.array([row @ inverse @ row for row in table])


@pytest.mark.parametrize("seed", range(8))
def test_it_takes_those_that_the_authors_formula_takes(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    weights = drawn.normal(size=300)
    deltas = 0.1 * drawn.normal(size=(10, 300)) * drawn.uniform(0.5, 2, size=(10, 1))
    weights, deltas = weights.astype(np.float32), deltas.astype(np.float32)
    lowest = np.argsort(authors(deltas.astype(np.float64) + weights))[:3]
    assert sorted(np.flatnonzero(chosen(deltas, weights)[1])) == sorted(lowest)


@PROPERTY
@given(st.integers(0, 999), st.integers(4, 9), st.integers(2, 12), st.integers(-3, 3))
def test_neither_order_nor_scale_changes_who_is_taken(seed: int, rows: int, columns: int, power: int) -> None:
    drawn = np.random.default_rng(seed)
    weights, deltas = drawn.normal(size=columns), drawn.normal(size=(rows, columns))
    found, shares = chosen(deltas, weights)
    order = drawn.permutation(rows)
    turned, same = chosen(deltas[order], weights)
    assert same == [shares[k] for k in order]
    assert turned.numpy() == pytest.approx(found.numpy(), abs=1e-6)
    assert chosen(deltas * 10.0**power, weights * 10.0**power)[1] == shares


def test_with_all_of_them_it_is_fedavg() -> None:
    deltas = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    sizes = [3, 1, 4, 1, 5, 9]
    delta, _ = chosen(deltas, [1.0] * 5, sizes, share=1.0)
    assert torch.allclose(delta, fedavg(client_updates(deltas, sizes), VIEW))


@pytest.mark.parametrize("deltas", [[[1.0, 2.0]] * 7, [[0.0, 0.0]] * 4], ids=["equal", "zero"])
def test_where_the_metrics_say_nothing_the_first_are_taken(deltas: list[list[float]]) -> None:
    delta, weights = chosen(deltas, [1.0, 1.0], share=0.5)
    half = len(deltas) // 2
    assert weights == [pytest.approx(1 / half)] * half + [0] * (len(deltas) - half)
    assert torch.equal(delta, torch.tensor(deltas[0]))


def test_at_least_one_is_taken_and_four_are_needed() -> None:
    assert sum(weight > 0 for weight in chosen(torch.eye(5), [0.0] * 5, share=0.01)[1]) == 1
    with pytest.raises(ConfigError, match="'multi-metrics' needs at least 4 updates in a round, got 3"):
        chosen(torch.eye(3), [0.0] * 3)


def test_updates_far_away_are_not_taken() -> None:
    honest = torch.randn(8, 300, generator=torch.Generator().manual_seed(0))
    _, weights = chosen(torch.cat([honest, torch.full((2, 300), 1e6)]), [1.0] * 300)
    assert weights[8:] == [0, 0]
