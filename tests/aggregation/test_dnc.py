"""Divide and conquer: by hand, against NumPy's singular vectors, and its limiting cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation.dnc import _outlier_scores, dnc
from fedskew.aggregation.mean import mean
from fedskew.errors import ConfigError
from fedskew.protocols import ServerView
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def view(seed: int = 0) -> ServerView:
    return replace(VIEW, rng=np.random.default_rng(seed))


def weights(trace: object) -> list[float]:
    return trace.client_weights.tolist()  # type: ignore[attr-defined,no-any-return]


def test_the_update_that_sticks_out_along_the_main_direction_is_left_out() -> None:
    # Centred: (-2, 0), (-2, 1), (-2, -1), (6, 0). Main direction (1, 0); scores 4, 4, 4, 36.
    delta, trace = dnc(client_updates([[0.0, 0], [0, 1], [0, -1], [8, 0]]), view(), f=1)
    assert delta.tolist() == [0, 0]
    assert weights(trace) == [pytest.approx(1 / 3)] * 3 + [0]


def test_each_iteration_may_leave_out_another_update() -> None:
    # One coordinate at a time: 10 sticks out in the first, 20 in the second, and only the last row in neither.
    updates = client_updates([[10.0, 0], [0, 20], [0, 0]])
    delta, trace = dnc(updates, view(), f=1, iterations=20, dimensions=1)
    assert weights(trace) == [0, 0, 1]
    assert delta.tolist() == [0, 0]


def test_where_nobody_is_left_the_model_stays_as_it_is() -> None:
    updates = client_updates([[10.0, 0], [0, 20]])
    delta, trace = dnc(updates, view(), f=1, iterations=1, factor=0.0)
    assert weights(trace) == [0.5, 0.5]
    # Of two rows both lie equally far from their mean: the first is kept. Three rows, each far out once:
    updates = client_updates(torch.diag(torch.tensor([10.0, 20.0, 30.0])))
    delta, trace = dnc(updates, view(), f=1, iterations=50, dimensions=1)
    assert weights(trace) == [0, 0, 0]
    assert delta.tolist() == [0, 0, 0]


@PROPERTY
@given(delta_matrices(), st.integers(0, 5))
def test_with_f_0_it_is_the_mean(deltas: np.ndarray, seed: int) -> None:
    updates = client_updates(deltas)
    assert torch.equal(dnc(updates, view(seed), f=0)[0], mean(updates, VIEW))


@pytest.mark.parametrize(("f", "factor", "left_out"), [(2, 1.0, 2), (2, 1.5, 3), (3, 0.5, 1), (10, 0.29, 2)])
def test_factor_times_f_rounded_down_are_left_out(f: int, factor: float, left_out: int) -> None:
    deltas = torch.randn(12, 5, generator=torch.Generator().manual_seed(2))
    _, trace = dnc(client_updates(deltas), view(), f=f, factor=factor, iterations=1)
    assert weights(trace).count(0) == left_out


def test_the_coordinates_come_from_the_rng_of_the_view_alone() -> None:
    updates = client_updates(torch.randn(9, 50, generator=torch.Generator().manual_seed(3)))
    options = {"f": 2, "iterations": 1, "dimensions": 3}
    found = [weights(dnc(updates, view(seed), **options)[1]) for seed in range(8)]
    assert len({tuple(w) for w in found}) > 1
    assert found == [weights(dnc(updates, view(seed), **options)[1]) for seed in range(8)]


@PROPERTY
@given(st.integers(0, 1000), st.integers(2, 8), st.integers(1, 12))
def test_scores_agree_with_numpys_singular_vectors(seed: int, rows: int, columns: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(rows, columns))
    centred = drawn - drawn.mean(axis=0)
    _, _, directions = np.linalg.svd(centred)
    expected = (centred @ directions[0]) ** 2
    found = _outlier_scores(torch.from_numpy(centred)).numpy()
    # Where the two largest singular values are alike, the direction is not unique; random ones never are so close.
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_of_equal_updates_the_first_are_kept(seed: int) -> None:
    """Their scores come out of an eigenvector, so they differ in the last bits, in other ways on other processors."""
    drawn = np.random.default_rng(seed).standard_normal((10, 300), dtype="float32")
    deltas = np.concatenate([drawn[:6], np.tile(drawn[6] * 10, (4, 1))])
    _, trace = dnc(client_updates(deltas), view(seed), f=2, iterations=1)
    assert [row for row, weight in enumerate(weights(trace)) if weight == 0] == [8, 9]


def test_leaving_out_everybody_is_refused() -> None:
    with pytest.raises(ConfigError, match="f = 2 and factor = 2 would leave out 4 updates in a round of 4"):
        dnc(client_updates([[1.0]] * 4), view(), f=2, factor=2.0)


def test_colluding_rows_far_away_are_left_out() -> None:
    honest = torch.randn(8, 400, generator=torch.Generator().manual_seed(4))
    malicious = (honest.mean(0) - 3 * honest.std(0)).repeat(2, 1)
    _, trace = dnc(client_updates(torch.cat([honest, malicious])), view(), f=2, dimensions=100)
    assert weights(trace)[8:] == [0, 0]
