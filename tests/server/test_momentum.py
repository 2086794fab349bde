"""Server momentum: by hand, with beta = 0, and against a plain sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.server.momentum import momentum
from helpers import PROPERTY, delta_matrices, server_steps


def test_by_hand() -> None:
    # v: 2; 0.5 * 2 + 1 = 2; 0.5 * 2 - 4 = -3
    assert [float(v) for v in server_steps(momentum(beta=0.5), torch.tensor([[2.0], [1.0], [-4.0]]))] == [
        2,
        2,
        -3,
    ]


def test_beta_0_is_the_plain_step_bit_for_bit() -> None:
    deltas = torch.tensor([[1e-40, -0.0, 3.0], [-0.0, 1e38, -1.0]])
    for delta, found in zip(deltas, server_steps(momentum(beta=0.0), deltas), strict=True):
        assert torch.equal(found.view(torch.int32), delta.view(torch.int32))


@PROPERTY
@given(delta_matrices(), st.floats(0, 0.99))
def test_it_is_the_sum_of_all_deltas_weighted_by_powers_of_beta(deltas: np.ndarray, beta: float) -> None:
    found = server_steps(momentum(beta=beta), torch.from_numpy(deltas))[-1].numpy()
    powers = beta ** np.arange(len(deltas))[::-1]
    expected = powers @ deltas.astype(np.float64)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5 * (1 + float(np.abs(deltas).max())))


def test_a_constant_delta_is_amplified_by_1_over_1_minus_beta() -> None:
    assert float(server_steps(momentum(beta=0.9), torch.ones(300, 1))[-1]) == pytest.approx(10, rel=1e-5)
