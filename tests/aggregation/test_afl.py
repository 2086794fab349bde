"""AFL: by hand over rounds, its projection against a slow one, and drawn cohorts."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew import aggregate
from fedskew.aggregation.afl import _on_simplex, afl
from fedskew.errors import ConfigError
from fedskew.protocols import Aggregator, State
from helpers import PROPERTY, VIEW, delta_matrices, reported


def round_of(
    rule: Aggregator,
    deltas: object,
    losses: list[float],
    state: State,
    ids: list[int] | None = None,
    clients: int = 0,
) -> tuple[Tensor, list[float], State]:
    updates = reported(deltas, losses)
    if ids is not None:
        updates = replace(updates, client_ids=torch.tensor(ids))
    view = replace(VIEW, num_clients=clients or len(updates.deltas))
    delta, trace, state = rule.apply(updates, view, state)
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist(), state


def test_by_hand() -> None:
    rule, rows = afl(gamma=0.1), [[4.0, 0], [0, 4]]
    assert rule.start_losses
    first, _, state = round_of(rule, rows, [2.0, 0.0], rule.init())
    assert first.tolist() == [2, 2], "lambda rises after the step"
    # (0.5 + 0.2, 0.5) is projected to (0.6, 0.4), then (0.6 + 0.3, 0.4) to (0.75, 0.25).
    second, weights, state = round_of(rule, rows, [3.0, 0.0], state)
    assert second.tolist() == pytest.approx([2.4, 1.6])
    assert weights == pytest.approx([0.6, 0.4])
    third, _, _ = round_of(rule, rows, [0.0, 0.0], state)
    assert third.tolist() == pytest.approx([3, 1])


@PROPERTY
@given(delta_matrices(), st.data())
def test_gamma_0_is_the_mean_bit_for_bit_in_every_round(deltas: np.ndarray, data: st.DataObject) -> None:
    rule = afl(gamma=0)
    state, mean = rule.init(), aggregate("mean", deltas)
    for _ in range(3):
        losses = data.draw(st.lists(st.floats(0, 1e30), min_size=len(deltas), max_size=len(deltas)))
        found, _, state = round_of(rule, deltas, losses, state, clients=37)
        assert torch.equal(found.view(torch.int32), mean.view(torch.int32))


@PROPERTY
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6))
def test_the_projection_is_the_nearest_of_those_onto_every_face(point: list[float]) -> None:
    found = _on_simplex(torch.tensor(point, dtype=torch.float64)).numpy()
    v = np.array(point)
    nearest = np.inf
    for size in range(1, len(v) + 1):
        for face in combinations(range(len(v)), size):
            held = list(face)
            onto = np.zeros(len(v))
            onto[held] = v[held] + (1 - v[held].sum()) / size
            if onto.min() >= -1e-12:
                nearest = min(nearest, float(((onto - v) ** 2).sum()))
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert ((found - v) ** 2).sum() == pytest.approx(nearest, abs=1e-9)


def test_of_a_drawn_cohort_only_those_in_it_rise() -> None:
    rule = afl(gamma=0.1)
    _, _, state = round_of(rule, [[1.0], [1]], [1.0, 1.0], rule.init(), ids=[0, 2], clients=4)
    # (0.35, 0.25, 0.35, 0.25) less 0.05 each.
    assert state["mixture"].tolist() == pytest.approx([0.3, 0.2, 0.3, 0.2])
    found, weights, _ = round_of(rule, [[5.0], [10]], [0.0, 0.0], state, ids=[1, 2], clients=4)
    assert weights == pytest.approx([0.4, 0.6])
    assert float(found) == pytest.approx(8)


def test_where_nobody_in_the_cohort_has_weight_the_model_stays() -> None:
    rule = afl(gamma=1.0)
    _, _, state = round_of(rule, [[1.0]], [9.0], rule.init(), ids=[0], clients=3)
    assert state["mixture"].tolist() == [1, 0, 0]
    found, weights, state = round_of(rule, [[1.0], [2]], [0.1, 0.2], state, ids=[1, 2], clients=3)
    assert found.tolist() == [0]
    assert weights == [0, 0]
    assert state["mixture"].tolist() == pytest.approx([1.0 - 0.1, 0, 0.1], abs=0.07)


def test_a_client_that_keeps_reporting_a_high_loss_takes_all_weight() -> None:
    rule = afl(gamma=0.05)
    state = rule.init()
    for _ in range(20):
        found, weights, state = round_of(rule, torch.eye(5), [3.0, *[1.0] * 4], state)
    assert weights == [1, 0, 0, 0, 0]
    assert found.tolist() == [1, 0, 0, 0, 0]


def test_rows_of_several_clients_are_refused() -> None:
    rule = afl(gamma=0.1)
    with pytest.raises(ConfigError, match="needs one update per client"):
        round_of(rule, [[1.0], [2]], [1.0, 2.0], rule.init(), ids=[0, -1])


def test_a_client_that_was_not_weighed_in_the_first_round_is_refused() -> None:
    rule = afl(gamma=0.1)
    *_, state = round_of(rule, [[1.0], [2]], [1.0, 2.0], rule.init())
    with pytest.raises(ConfigError, match=r"weighs the 2 clients of its first round.*update of client 2$"):
        round_of(rule, [[1.0], [2]], [1.0, 2.0], state, ids=[0, 2], clients=3)
