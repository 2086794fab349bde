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
from fedskew.objectives.fedlc import fedlc
from fedskew.objectives.fedprox import fedprox
from fedskew.objectives.fedrs import fedrs
from fedskew.objectives.fedsam import fedsam
from fedskew.objectives.logit_adjustment import logit_adjustment
from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective, LocalView
from helpers import PROPERTY

ROWS = arrays.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32))


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(fedskew.objectives.fedprox) == (0, 9)


@pytest.mark.parametrize(
    "objective",
    [
        none(),
        fedprox(mu=0),
        fedprox(mu=0, decoupled=True),
        fedlc(tau=0),
        fedrs(alpha=1),
        logit_adjustment(tau=0),
        fedsam(rho=0),
    ],
)
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
            (mu / 2 * (leaf - origin.double()).square().sum()).backward()  # type: ignore[no-untyped-call]
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


COUNTS = st.lists(st.integers(0, 60_000), min_size=2, max_size=20).filter(any)


@PROPERTY
@given(COUNTS, st.floats(1e-3, 10))
def test_classes_that_a_client_lacks_are_left_out_of_the_softmax(counts: list[int], tau: float) -> None:
    for objective in (fedlc(tau=tau), logit_adjustment(tau=tau)):
        assert objective.logits is not None
        scale, offset = objective.logits(torch.tensor(counts))
        assert (scale == 1).all()
        there = torch.tensor(counts) > 0
        assert not offset.softmax(dim=0)[~there].any()
        assert (offset[there] > -200).all()
        order = torch.tensor(counts)[there].argsort(stable=True)
        assert (offset[there][order].diff() >= 0).all(), "a rare class has the larger margin"


@PROPERTY
@given(st.lists(st.integers(1, 60_000), min_size=2, max_size=20))
def test_the_balanced_softmax_starts_from_the_clients_own_label_mix(counts: list[int]) -> None:
    """With all logits equal, adjusted ones give each class its share (Ren et al. 2020)."""
    objective = logit_adjustment(tau=1.0)
    assert objective.logits is not None
    shares = objective.logits(torch.tensor(counts))[1].softmax(dim=0)
    # The offsets, up to 14 in size, and their differences are rounded to 2^-24 of that.
    assert torch.allclose(shares, torch.tensor(counts) / sum(counts), rtol=1e-5, atol=0)


def test_fedrs_makes_logits_of_absent_classes_smaller_and_no_others() -> None:
    objective = fedrs(alpha=0.25)
    assert objective.logits is not None
    assert objective.logits(torch.tensor([0, 5, 1])).tolist() == [[0.25, 1.0, 1.0], [0.0, 0.0, 0.0]]


@PROPERTY
@given(ROWS, ROWS, st.floats(1e-3, 10))
def test_fedsam_looks_at_a_distance_of_rho_along_the_gradient(
    gradients: np.ndarray, weights: np.ndarray, rho: float
) -> None:
    objective = fedsam(rho=rho)
    assert objective.look is not None
    gradient, w = torch.from_numpy(gradients), torch.from_numpy(weights)
    there = objective.look(gradient, LocalView(w, torch.zeros(4), {}, {}, 0.1))
    for row in range(len(w)):
        alone = objective.look(gradient[row], LocalView(w[row], torch.zeros(4), {}, {}, 0.1))
        assert torch.equal(alone, there[row])
        length = gradient[row].double().norm()
        step = rho * gradient[row].double() / length if length else torch.zeros(4).double()
        # The step of at most 10, and its sum with a weight of at most 100, are rounded.
        assert (there[row].double() - w[row] - step).abs().max() <= 200 * 2**-24


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
