"""FedAdam, FedYogi and FedAdagrad: by hand, against the paper's Algorithm 2 in double precision, and their limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.protocols import ServerStep
from fedskew.server.adaptive import adagrad, adam, yogi
from helpers import PROPERTY, delta_matrices, server_steps

BOTH = pytest.mark.parametrize("make", [adam, yogi])
ALL = pytest.mark.parametrize("make", [adam, yogi, adagrad])


def test_adam_by_hand() -> None:
    # tau = 1, v_0 = 1. Round 1, delta 2: m = 1, v = 0.5 + 2 = 2.5; round 2, delta 0: m = 0.5, v = 1.25.
    first, second = server_steps(adam(beta1=0.5, beta2=0.5, tau=1.0), torch.tensor([[2.0], [0.0]]))
    assert float(first) == pytest.approx(1 / (2.5**0.5 + 1))
    assert float(second) == pytest.approx(0.5 / (1.25**0.5 + 1))


def test_yogi_by_hand() -> None:
    # tau = 1, v_0 = 1. Round 1, delta 2: 1 < 4, so v = 1 + 0.5 * 4 = 3; round 2, delta 1: 3 > 1, so v = 2.5.
    first, second = server_steps(yogi(beta1=0.5, beta2=0.5, tau=1.0), torch.tensor([[2.0], [1.0]]))
    assert float(first) == pytest.approx(1 / (3**0.5 + 1))
    assert float(second) == pytest.approx(1 / (2.5**0.5 + 1))


def test_adagrad_by_hand() -> None:
    # tau = 1, v_0 = 1. Deltas 2, 1 and 0: m = 1, 1 and 0.5; v = 5, 6 and 6.
    found = server_steps(adagrad(beta1=0.5, tau=1.0), torch.tensor([[2.0], [1.0], [0.0]]))
    assert [float(moved) for moved in found] == pytest.approx(
        [1 / (5**0.5 + 1), 1 / (6**0.5 + 1), 0.5 / (6**0.5 + 1)]
    )


@PROPERTY
@given(delta_matrices(), st.sampled_from([0.01, 1.0]))
def test_adagrad_divides_by_the_root_of_all_squares_so_far(deltas: np.ndarray, tau: float) -> None:
    found = server_steps(adagrad(tau=tau), torch.from_numpy(deltas))
    exact = deltas.astype(np.float64)
    expected = exact / (np.sqrt(tau**2 + np.cumsum(exact**2, axis=0)) + tau)
    assert np.allclose(torch.stack(found).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_equal_deltas_take_adagrads_steps_down_with_the_root_of_the_round() -> None:
    found = server_steps(adagrad(tau=1e-9), torch.full((9, 1), 3.0))
    assert [float(moved) for moved in found] == pytest.approx([1 / n**0.5 for n in range(1, 10)], rel=1e-5)


def algorithm_2(name: str, deltas: np.ndarray, beta1: float, beta2: float, tau: float) -> np.ndarray:
    m, v = np.zeros(deltas.shape[1]), np.full(deltas.shape[1], tau**2)
    for delta in deltas.astype(np.float64):
        m = beta1 * m + (1 - beta1) * delta
        square = delta**2
        v = (
            beta2 * v + (1 - beta2) * square
            if name == "adam"
            else v - (1 - beta2) * square * np.sign(v - square)
        )
    step: np.ndarray = m / (np.sqrt(v) + tau)
    return step


@BOTH
@PROPERTY
@given(
    delta_matrices(),
    st.floats(0, 0.99),
    st.floats(0.5, 0.999),
    st.sampled_from([1e-3, 0.1, 1.0]),
    st.booleans(),
)
def test_both_agree_with_the_paper(
    make: Callable[..., ServerStep], deltas: np.ndarray, beta1: float, beta2: float, tau: float, small: bool
) -> None:
    deltas = deltas * np.float32(1e-6 if small else 1)
    found = server_steps(make(beta1=beta1, beta2=beta2, tau=tau), torch.from_numpy(deltas))[-1].numpy()
    expected = algorithm_2(make.__name__, deltas, beta1, beta2, tau)
    # m is a sum that may cancel: its error is measured by the largest delta, over the smallest divisor.
    slack = 1e-5 * (1 + float(np.abs(deltas).max()) / tau)
    assert np.allclose(found, expected, rtol=1e-3, atol=slack)


@BOTH
def test_there_is_no_bias_correction(make: Callable[..., ServerStep]) -> None:
    (first,) = server_steps(make(beta1=0.9, beta2=0.99, tau=1e-9), torch.tensor([[5.0]]))
    assert float(first) == pytest.approx(0.1 * 5 / (0.01 * 25) ** 0.5)  # 1 with the correction of Adam


@ALL
def test_no_delta_is_no_step(make: Callable[..., ServerStep]) -> None:
    assert all(float(moved.abs().max()) == 0 for moved in server_steps(make(), torch.zeros(3, 4)))


@ALL
def test_a_large_tau_makes_it_momentum_scaled_by_tau(make: Callable[..., ServerStep]) -> None:
    moved = server_steps(make(beta1=0.0, tau=1e3), torch.tensor([[1.0, -2.0]]))[0]
    # sqrt(v) is between sqrt(0.99) tau and tau, whatever delta.
    assert torch.allclose(moved, torch.tensor([1.0, -2.0]) / 2e3, rtol=0.01)
