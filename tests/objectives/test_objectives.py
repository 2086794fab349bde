"""Local objectives by themselves: worked cases, limits, and that one call serves one client or several."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import fedskew.objectives.fedprox
from fedskew.objectives.fedprox import fedprox
from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective, LocalView
from helpers import PROPERTY

ROWS = arrays.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32))


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(fedskew.objectives.fedprox) == (0, 9)


@pytest.mark.parametrize("objective", [none(), fedprox(mu=0), fedprox(mu=0, decoupled=True)])
def test_nothing_is_done_where_there_is_nothing_to_do(objective: LocalObjective) -> None:
    assert objective == LocalObjective()
    assert not objective.keeps


@PROPERTY
@given(ROWS, ROWS, ROWS, st.floats(1e-3, 10))
def test_fedprox_is_the_gradient_of_its_term_for_one_client_or_several(
    gradients: np.ndarray, weights: np.ndarray, starts: np.ndarray, mu: float
) -> None:
    objective = fedprox(mu=mu)
    assert objective.add is not None
    w, start = torch.from_numpy(weights), torch.from_numpy(starts)
    together, shared = torch.tensor(gradients), torch.tensor(gradients)
    objective.add(together, LocalView(w, start, {}, {}, 0.1))
    objective.add(shared, LocalView(w, start[0], {}, {}, 0.1))
    for row in range(len(w)):
        for found, origin in ((together[row], start[row]), (shared[row], start[0])):
            leaf = w[row].double().requires_grad_()
            (mu / 2 * (leaf - origin.double()).square().sum()).backward()
            assert leaf.grad is not None
            expected = torch.tensor(gradients[row]).double() + leaf.grad
            # Three roundings: of the difference, of the product and of the sum, all of numbers below 2100.
            assert (found.double() - expected).abs().max() <= 3 * 2100 * 2**-24
            alone = torch.tensor(gradients[row])
            objective.add(alone, LocalView(w[row], origin, {}, {}, 0.1))
            assert torch.equal(alone, found)


def test_fedprox_pulls_nobody_who_has_not_moved() -> None:
    objective, gradient = fedprox(mu=3.0), torch.tensor([1.0, -2.0])
    assert objective.add is not None
    objective.add(gradient, LocalView(torch.ones(2), torch.ones(2), {}, {}, 0.1))
    assert gradient.tolist() == [1.0, -2.0]


@PROPERTY
@given(ROWS, ROWS, st.floats(1e-3, 1), st.floats(1e-3, 1))
def test_decoupled_it_goes_the_same_share_of_the_way_back_in_every_entry(
    weights: np.ndarray, starts: np.ndarray, mu: float, lr: float
) -> None:
    objective = fedprox(mu=mu, decoupled=True)
    assert objective.add is None
    assert objective.project is not None
    start = torch.from_numpy(starts)
    moved = torch.tensor(weights)
    objective.project(moved, LocalView(moved, start, {}, {}, lr))
    before = torch.from_numpy(weights).double()
    expected = before - lr * mu * (before - start.double())
    # The share, the difference, the product and the result are rounded, all of numbers below 300.
    assert (moved.double() - expected).abs().max() <= 4 * 300 * 2**-24
    on_device = torch.tensor(weights)
    objective.project(on_device, LocalView(on_device, start, {}, {}, torch.tensor(lr, dtype=torch.float64)))
    assert torch.equal(on_device, moved)


def test_decoupled_and_coupled_are_alike_for_small_steps_of_plain_sgd() -> None:
    """After T steps without a loss, (1 - lr mu)^T of the way is left in both forms."""
    for decoupled in (False, True):
        objective, weights, start = fedprox(mu=2.0, decoupled=decoupled), torch.tensor([9.0]), torch.zeros(1)
        for _ in range(3):
            gradient, view = torch.zeros(1), LocalView(weights, start, {}, {}, 0.25)
            if objective.add is not None:
                objective.add(gradient, view)
            weights -= 0.25 * gradient
            if objective.project is not None:
                objective.project(weights, view)
        assert weights.tolist() == [9.0 * 0.5**3]
