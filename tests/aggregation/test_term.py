"""TERM: by hand, as the gradient of the tilted loss, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew import aggregate
from fedskew.aggregation.term import term
from helpers import PROPERTY, VIEW, delta_matrices, reported


def both(deltas: object, losses: list[float], t: float) -> tuple[Tensor, list[float]]:
    rule = term(t=t)
    assert rule.start_losses
    delta, trace, state = rule.apply(reported(deltas, losses), VIEW, rule.init())
    assert state == {}
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


@pytest.mark.parametrize(("t", "expected"), [(2.0, [0.8, 0.2]), (-2.0, [0.2, 0.8])])
def test_by_hand(t: float, expected: list[float]) -> None:
    # The losses differ by ln(4) / 2: e^(2 * that) = 4.
    delta, weights = both([[10.0, 0], [0, 10]], [np.log(4) / 2 + 1, 1.0], t)
    assert weights == pytest.approx(expected)
    assert delta.tolist() == pytest.approx([10 * share for share in expected])


@PROPERTY
@given(st.lists(st.floats(0, 5), min_size=1, max_size=6), st.sampled_from([-3.0, -0.5, 0.5, 3.0]))
def test_the_weights_are_those_of_the_gradient_of_the_tilted_loss(losses: list[float], t: float) -> None:
    w = torch.tensor(losses, dtype=torch.float64, requires_grad=True)  # F_k(w) = w_k
    (torch.logsumexp(t * w, 0) / t).backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    _, weights = both(torch.ones(len(losses), 2), losses, t)
    assert weights == pytest.approx(w.grad.tolist(), abs=1e-8)


@PROPERTY
@given(delta_matrices(), st.data())
def test_t_0_is_the_mean_bit_for_bit(deltas: np.ndarray, data: st.DataObject) -> None:
    losses = data.draw(st.lists(st.floats(0, 1e30), min_size=len(deltas), max_size=len(deltas)))
    found, _ = both(deltas, losses, 0.0)
    assert torch.equal(found.view(torch.int32), aggregate("mean", deltas).view(torch.int32))


@pytest.mark.parametrize(("t", "alone"), [(1e6, 2), (-1e6, 0)])
def test_in_the_limit_the_worst_or_the_best_client_is_alone(t: float, alone: int) -> None:
    rows = [[1.0, 0], [0, 1], [1, 1]]
    delta, weights = both(rows, [0.1, 0.5, 1e30 if t > 0 else 0.9], t)
    assert weights == [float(client == alone) for client in range(3)]
    assert delta.tolist() == rows[alone]


@PROPERTY
@given(st.floats(-5, 5), st.floats(0, 100))
def test_only_differences_of_losses_count(t: float, added: float) -> None:
    losses = [0.25, 1.0, 2.5]
    _, weights = both(torch.eye(3), losses, t)
    _, higher = both(torch.eye(3), [loss + added for loss in losses], t)
    assert higher == pytest.approx(weights, rel=1e-6)
    assert sum(weights) == pytest.approx(1)


def test_fair_and_robust_are_the_two_signs_of_t() -> None:
    losses = [3.0, *[0.5] * 9]
    fair, robust = (both(torch.ones(10, 1), losses, t)[1][0] for t in (1.0, -1.0))
    assert fair > 0.5
    assert robust < 0.02
