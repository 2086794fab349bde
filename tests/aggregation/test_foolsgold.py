"""FoolsGold: by hand, against a plain loop, over rounds, and where all clients are alike."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from fedskew.aggregation.foolsgold import _logit, _weights, foolsgold
from fedskew.aggregation.mean import mean
from fedskew.protocols import State
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def gold(
    deltas: Any, ids: list[int] | None = None, state: State | None = None, **options: Any
) -> tuple[Tensor, list[float], State]:
    rule = foolsgold(**options)
    updates = client_updates(deltas)
    if ids is not None:
        updates = replace(updates, client_ids=torch.tensor(ids))
    delta, trace, after = rule.apply(updates, VIEW, rule.init() if state is None else state)
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist(), after


def test_by_hand() -> None:
    # Similarities: 0.8 (first and second), 0.6 (second and third), 0 (first and third); v = (0.8, 0.8, 0.6).
    # The third is pardoned: 0.6 * 0.6 / 0.8 = 0.45. alpha = (0.2, 0.2, 0.55), over the largest (0.3636.., same, 1).
    weight = math.log((0.2 / 0.55) / (1 - 0.2 / 0.55)) + 0.5
    assert weight == pytest.approx(-0.0596, abs=1e-4)  # below 0: no weight
    delta, weights, _ = gold([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    assert weights == [0, 0, 1]
    assert delta.tolist() == [0, 1]
    # 0.5 of the largest has ln(1) + 0.5.
    assert _logit(0.5) == 0.5
    assert _logit(0.0) == 0
    assert _logit(1.0) == 1


def plain(history: np.ndarray) -> np.ndarray:
    """The weights, entry by entry."""
    count = len(history)
    similar = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            lengths = np.linalg.norm(history[i]) * np.linalg.norm(history[j])
            if i != j and lengths:
                similar[i, j] = round(history[i] @ history[j] / lengths, 9)
    highest = similar.max(axis=1)
    for i in range(count):
        for j in range(count):
            if highest[i] < highest[j]:
                similar[i, j] *= highest[i] / highest[j]
    alpha = np.clip(np.round(1 - similar.max(axis=1), 9), 0, 1)
    if not alpha.max():
        return np.zeros(count)
    alpha = np.minimum(alpha / alpha.max(), 0.99)
    return np.array([min(1, max(0, math.log(a / (1 - a)) + 0.5)) if a else 0 for a in alpha])


@PROPERTY
@given(delta_matrices())
def test_it_agrees_with_a_plain_loop(deltas: np.ndarray) -> None:
    expected = plain(deltas.astype(np.float64))
    delta, weights, _ = gold(deltas, step="sum")
    assert weights == pytest.approx(expected.tolist(), abs=1e-6)
    scale = float(1 + np.abs(deltas).max() * len(deltas))
    assert delta.numpy() == pytest.approx(expected @ deltas, abs=1e-5 * scale)
    normal, same, _ = gold(deltas)
    assert same == weights
    assert (normal * (sum(weights) or 1)).numpy() == pytest.approx(delta.numpy(), abs=1e-5 * scale)


@pytest.mark.parametrize("deltas", [[[1.0, 2.0]] * 4, [[0.1, 0.7, 0.3], [0.2, 1.4, 0.6]]])
@pytest.mark.parametrize("step", ["mean", "sum"])
def test_where_all_clients_are_alike_the_model_stays_as_it_is(deltas: list[list[float]], step: str) -> None:
    delta, weights, _ = gold(deltas, step=step)
    assert weights == [0] * len(deltas)
    assert not delta.any()


@pytest.mark.parametrize("deltas", [[[3.0, 1.0]], torch.eye(3).tolist(), [[1.0], [-1.0]], [[0.0], [0.0]]])
def test_where_none_are_alike_it_is_the_mean(deltas: list[list[float]]) -> None:
    delta, weights, _ = gold(deltas)
    assert weights == [1] * len(deltas)
    assert torch.equal(delta, mean(client_updates(deltas), VIEW))


def test_the_original_step_is_the_sum() -> None:
    assert gold(torch.eye(3).tolist(), step="sum")[0].tolist() == [1, 1, 1]


def test_it_looks_at_the_sums_of_all_updates_that_a_client_has_sent() -> None:
    _, weights, state = gold([[1.0, 0.0], [0.0, 1.0]], [7, 3])
    assert weights == [1, 1]
    assert state["clients"].tolist() == [3, 7]
    assert state["sums"].tolist() == [[0, 1], [1, 0]]
    # Client 3 sends what client 7 sent before; the sums (1, 1) and (1, 0) have the cosine 0.7071, both the same alpha.
    before = {name: value.clone() for name, value in state.items()}
    _, weights, after = gold([[1.0, 0.0], [0.0, -5.0]], [3, 9], state)
    assert after["clients"].tolist() == [3, 7, 9]
    assert after["sums"].tolist() == [[1, 1], [1, 0], [0, -5]]
    assert weights == [1, 1]  # of this round's two clients no two are alike
    assert all(torch.equal(state[name], before[name]) for name in before)
    # Alike in this round, but not over all rounds: the cosine of (2, 1) and (1, -5) is negative.
    _, weights, _ = gold([[1.0, 0.0], [1.0, 0.0]], [3, 9], after)
    assert weights == [1, 1]


def test_a_row_of_several_clients_has_no_history() -> None:
    _, _, state = gold([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [-1, -1, 4])
    assert state["clients"].tolist() == [4]
    assert gold([[1.0, 0.0], [0.0, 1.0]], [-1, -1])[2] == {}


def test_colluders_lose_their_weight_and_a_single_adversary_does_not() -> None:
    honest = torch.randn(6, 400, generator=torch.Generator().manual_seed(0))
    attack = torch.randn(1, 400, generator=torch.Generator().manual_seed(1)) * 5
    assert gold(torch.cat([honest, attack, attack]))[1][6:] == [0, 0]
    assert gold(torch.cat([honest, attack]))[1][6] == 1


def test_weights_do_not_depend_on_the_order() -> None:
    similar = torch.rand(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    similar = (similar + similar.T) / 2
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.equal(_weights(similar[order][:, order].clone()), _weights(similar.clone())[order])
