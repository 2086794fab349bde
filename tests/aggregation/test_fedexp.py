"""FedExP: by hand, its bounds, and that it takes nothing but the length of updates into account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation.fedexp import fedexp
from fedskew.config import Execution, Experiment
from fedskew.federation.state import initial_state
from fedskew.simulation import rounds
from helpers import PROPERTY, build_world, client_updates, delta_matrices


def rate(deltas: Any, lr: float = 1.0, **options: float) -> float:
    return fedexp(client_updates(deltas), lr, **options)


def test_by_hand() -> None:
    # Orthogonal and of length 1: Q = 1, ||m||^2 = 1/6: 1 / (2 (1/6 + eps)).
    assert rate(torch.eye(6), eps=1e-9) == pytest.approx(3)
    assert rate(torch.eye(6), eps=1 / 3) == pytest.approx(1)
    assert rate(torch.eye(6), 0.5, eps=1e-9) == pytest.approx(1.5)


def test_where_clients_agree_the_rate_stays() -> None:
    assert rate(torch.ones(6, 3)) == 1
    assert rate([[1.0, 2.0]]) == 1
    assert rate(torch.zeros(4, 2), 0.3) == 0.3


@PROPERTY
@given(delta_matrices(), st.sampled_from([1e-3, 0.1]))
def test_it_agrees_with_the_formula_and_keeps_its_bounds(deltas: np.ndarray, eps: float) -> None:
    found = rate(deltas, eps=eps)
    exact = deltas.astype(np.float64)
    squares, middle = float((exact**2).sum() / len(exact)), exact.mean(axis=0)
    expected = max(1.0, squares / (2 * (middle @ middle + eps * squares))) if squares else 1.0
    assert found == pytest.approx(expected)
    assert 1 <= found <= 1 / (2 * eps) * (1 + 1e-12) or found == 1


@PROPERTY
@given(delta_matrices(), st.sampled_from([1e-4, 3.0, 1e5]))
def test_neither_the_length_nor_the_order_of_updates_matters(deltas: np.ndarray, scale: float) -> None:
    assert rate(deltas * np.float32(scale)) == pytest.approx(rate(deltas), rel=1e-4)
    assert rate(deltas[::-1].copy()) == pytest.approx(rate(deltas))


def test_who_it_trusts_too_much() -> None:
    """One long update raises the rate to half the number of clients, two that cancel each other to its bound."""
    small = torch.ones(10, 4) * 1e-3
    long, opposed = small.clone(), small.clone()
    long[0] = torch.tensor([1e3, 0, 0, 0])
    opposed[:2] = torch.tensor([[1e3, 0, 0, 0], [-1e3, 0, 0, 0]])
    assert rate(long, eps=1e-6) == pytest.approx(5, rel=1e-3)
    assert rate(opposed, eps=1e-3) == pytest.approx(500, rel=1e-3)


@pytest.mark.parametrize("aggregator", ["mean", "median"])
def test_in_a_run_it_scales_the_aggregators_result_and_looks_at_updates_as_sent(aggregator: str) -> None:
    def after_one_round(rule: Any) -> tuple[torch.Tensor, torch.Tensor]:
        defence = {
            "aggregator": aggregator,
            "learning_rate": rule,
            "transforms": [{"name": "clip", "norm": 0.1}],
        }
        content = {"rounds": 1, "clients": {"count": 5}, "split": {"name": "shards", "classes_per_client": 2}}
        world = build_world(Experiment.model_validate({**content, "defence": defence}), Execution())
        state = initial_state(world)
        list(rounds(world, state, []))
        return state.weights, world.initial_weights

    seen: list[float] = []

    def watched(updates: Any, lr: float) -> float:
        seen.append(fedexp(replace(updates), lr))
        return seen[-1]

    moved, start = after_one_round("fedexp")
    plain, _ = after_one_round("constant")
    assert torch.equal(moved, after_one_round(watched)[0])
    assert seen[0] > 1
    assert torch.allclose(moved - start, seen[0] * (plain - start), atol=1e-6)
