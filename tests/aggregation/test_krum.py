"""Krum and Multi-Krum: by hand, against a plain loop, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedskew
from fedskew.aggregation import matrix as matrix_module
from fedskew.aggregation.krum import krum
from fedskew.aggregation.matrix import squared_distances
from fedskew.aggregation.mean import mean
from fedskew.aggregation.multi_krum import multi_krum
from fedskew.errors import ConfigError
from helpers import PROPERTY, VIEW, client_updates, delta_matrices

LINE = client_updates([[0.0], [1.0], [3.0], [3.5], [50.0]])
# With f = 1, the sums of the two smallest squared distances:
#   0: 1 + 9 = 10;  1: 1 + 4 = 5;  3: 0.25 + 4 = 4.25;  3.5: 0.25 + 6.25 = 6.5;  50: 2162.25 + 2209
LENGTHS = st.integers(3, 7)


def test_krum_takes_the_update_with_the_lowest_score() -> None:
    delta, trace = krum(LINE, VIEW, f=1)
    assert delta.tolist() == [3.0]
    assert trace.client_weights is not None
    assert trace.client_weights.tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("m", "expected"), [(1, 3.0), (2, 2.0), (3, 2.5), (4, 7.5 / 4)], ids=lambda x: str(x)
)
def test_multi_krum_averages_the_lowest_scores(m: int, expected: float) -> None:
    delta, trace = multi_krum(LINE, VIEW, f=1, m=m)
    assert delta.tolist() == [pytest.approx(expected)]
    assert trace.client_weights is not None
    assert float(trace.client_weights.sum()) == pytest.approx(1)
    assert int((trace.client_weights > 0).sum()) == m


@PROPERTY
@given(delta_matrices(LENGTHS), st.data())
def test_multi_krum_of_one_is_krum(deltas: np.ndarray, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (len(deltas) - 3) // 2))
    updates = client_updates(deltas)
    (delta, trace), (other, same) = multi_krum(updates, VIEW, f=f, m=1), krum(updates, VIEW, f=f)
    assert trace.client_weights is not None
    assert same.client_weights is not None
    assert torch.equal(delta, other)
    assert torch.equal(trace.client_weights, same.client_weights)


def test_multi_krum_refuses_to_average_as_many_as_must_hold_a_malicious_one() -> None:
    assert multi_krum(LINE, VIEW, f=1, m=4)[0].tolist() == [7.5 / 4]
    with pytest.raises(
        ConfigError, match=r"f = 1, m = 5 needs at least m \+ f = 6 updates in a round, got 5"
    ):
        multi_krum(LINE, VIEW, f=1, m=5)


def test_equal_scores_are_taken_in_the_order_of_the_rows() -> None:
    # On a square with f = 1 every corner has one neighbour to count, 1 away.
    square = client_updates([[0.0, 0], [0, 1], [1, 1], [1, 0], [9, 9]])
    delta, trace = multi_krum(square, VIEW, f=1, m=2)
    assert trace.client_weights is not None
    assert trace.client_weights.tolist() == [0.5, 0.5, 0, 0, 0]
    assert delta.tolist() == [0.0, 0.5]


@PROPERTY
@given(delta_matrices(LENGTHS), st.data())
def test_multi_krum_agrees_with_a_plain_loop(deltas: np.ndarray, data: st.DataObject) -> None:
    count = len(deltas)
    f = data.draw(st.integers(0, (count - 3) // 2))
    m = data.draw(st.integers(1, count - f))
    rows = deltas.astype(np.float64)
    scores = []
    for i in range(count):
        squares = sorted(float(((rows[i] - rows[j]) ** 2).sum()) for j in range(count) if j != i)
        scores.append(sum(squares[: count - f - 2]))
    delta, trace = multi_krum(client_updates(deltas), VIEW, f=f, m=m)
    assert trace.client_weights is not None
    taken = trace.client_weights.nonzero().flatten().tolist()
    assert len(taken) == m
    left = [scores[i] for i in range(count) if i not in taken]
    assert max(scores[i] for i in taken) <= min([*left, np.inf]) * (1 + 1e-12)
    scale = float(np.abs(deltas).max()) + 1
    assert delta.numpy() == pytest.approx(
        deltas[taken].astype(np.float64).mean(0), rel=1e-5, abs=1e-6 * scale
    )


@PROPERTY
@given(delta_matrices(LENGTHS))
def test_of_all_and_with_f_0_it_is_the_mean(deltas: np.ndarray) -> None:
    updates = client_updates(deltas)
    assert torch.equal(multi_krum(updates, VIEW, f=0, m=len(deltas))[0], mean(updates, VIEW))


def test_f_rows_far_away_do_not_move_the_result_beyond_the_honest_ones() -> None:
    honest = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    far = torch.full((3, 6), 1e6) + torch.arange(3)[:, None]
    delta, trace = multi_krum(client_updates(torch.cat([far, honest])), VIEW, f=3, m=5)
    assert trace.client_weights is not None
    assert trace.client_weights[:3].tolist() == [0, 0, 0]
    assert (delta >= honest.min(0).values).all()
    assert (delta <= honest.max(0).values).all()


@pytest.mark.parametrize(("count", "f"), [(1, 0), (2, 0), (4, 1), (10, 4)])
def test_too_few_updates_are_refused(count: int, f: int) -> None:
    needed = rf"f = {f} needs at least 2f \+ 3 = {2 * f + 3} updates in a round, got {count}"
    with pytest.raises(ConfigError, match=needed):
        krum(client_updates([[1.0]] * count), VIEW, f=f)


def first_two(labels: np.ndarray, num_clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [*np.array_split(np.arange(len(labels)), 2), *[np.arange(0)] * (num_clients - 2)]


def test_a_run_in_which_too_few_clients_have_data_is_refused_before_it_trains() -> None:
    experiment = fedskew.Experiment(
        clients={"count": 6},
        rounds=1,
        split=first_two,
        defence={"aggregator": {"name": "krum", "f": 1}},
        training={"epochs": 1},
    )
    with pytest.raises(
        ConfigError, match="needs 5 or more updates in a round, and with seed 0 only 2 of 6 clients"
    ):
        list(fedskew.simulate(experiment))


# --- distances --------------------------------------------------------------------------------------


@PROPERTY
@given(delta_matrices(), st.integers(1, 20))
def test_distances_taken_in_chunks_agree_with_a_plain_loop(deltas: np.ndarray, entries: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "ENTRIES", entries)
        found = squared_distances(torch.from_numpy(deltas))
    rows = deltas.astype(np.float64)
    for i in range(len(rows)):
        for j in range(len(rows)):
            assert float(found[i, j]) == pytest.approx(float(((rows[i] - rows[j]) ** 2).sum()), rel=1e-12)


def test_equal_rows_are_exactly_0_apart_and_huge_ones_not_infinitely() -> None:
    row = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    assert squared_distances(torch.stack([row, row])).tolist() == [[0, 0], [0, 0]]
    assert squared_distances(torch.tensor([[3e38], [-3e38]])).isfinite().all()
