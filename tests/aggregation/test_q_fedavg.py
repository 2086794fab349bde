"""q-FedAvg: by hand, against the paper's sums, its limiting cases, and whom it favours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew import aggregate
from fedskew.aggregation.q_fedavg import q_fedavg
from fedskew.errors import ConfigError
from helpers import PROPERTY, VIEW, client_updates, delta_matrices, reported


def both(
    deltas: object, losses: list[float], *, q: float, lipschitz: float = 1.0
) -> tuple[Tensor, list[float]]:
    rule = q_fedavg(q=q, lipschitz=lipschitz)
    assert rule.start_losses
    delta, trace, state = rule.apply(reported(deltas, losses), VIEW, rule.init())
    assert state == {}
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


def test_by_hand() -> None:
    # q = 2, L = 3: F^2 = 4 and 1; h / L = 4 + 2 * 3 * 2 * 1 = 16 and 1 + 2 * 3 * 1 * 4 = 25; the sum is 41.
    delta, weights = both([[1.0, 0], [0, 2]], [2.0, 1.0], q=2, lipschitz=3)
    assert delta.tolist() == pytest.approx([4 / 41, 2 / 41])
    assert weights == pytest.approx([4 / 41, 1 / 41])


@PROPERTY
@given(st.data(), st.sampled_from([0.0, 0.3, 1.0, 5.0]), st.sampled_from([0.1, 10.0]))
def test_it_agrees_with_the_papers_sums(data: st.DataObject, q: float, lipschitz: float) -> None:
    deltas = data.draw(delta_matrices())
    many = st.lists(st.floats(0.01, 10), min_size=len(deltas), max_size=len(deltas))
    losses = data.draw(many)
    above, below = np.zeros(deltas.shape[1]), 0.0
    for row, loss in zip(deltas.astype(np.float64), losses, strict=True):
        gradient = -lipschitz * row
        above += loss**q * gradient
        below += q * loss ** (q - 1) * float(gradient @ gradient) + lipschitz * loss**q
    found, _ = both(deltas, losses, q=q, lipschitz=lipschitz)
    assert np.allclose(found.numpy(), -above / below, rtol=1e-5, atol=1e-6 * float(np.abs(deltas).max()))


@PROPERTY
@given(delta_matrices(), st.floats(0, 10), st.data())
def test_q_0_is_the_mean_bit_for_bit(deltas: np.ndarray, lipschitz: float, data: st.DataObject) -> None:
    losses = data.draw(st.lists(st.floats(0, 1e30), min_size=len(deltas), max_size=len(deltas)))
    found, weights = both(deltas, losses, q=0, lipschitz=lipschitz)
    assert torch.equal(found.view(torch.int32), aggregate("mean", deltas).view(torch.int32))
    assert weights == pytest.approx([1 / len(deltas)] * len(deltas))


def test_without_damping_it_is_the_mean_weighted_by_powers_of_the_loss() -> None:
    delta, weights = both([[1.0, 0], [0, 1]], [3.0, 1.0], q=2, lipschitz=0)
    assert weights == pytest.approx([0.9, 0.1])
    assert delta.tolist() == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_a_client_that_reports_no_loss_takes_no_part(q: float) -> None:
    among, weights = both([[1.0, 0], [0, 1], [9, 9]], [1.0, 2.0, 0.0], q=q)
    without, _ = both([[1.0, 0], [0, 1]], [1.0, 2.0], q=q)
    assert torch.equal(among, without)
    assert weights[2] == 0
    nobody, weights = both([[1.0, 0], [0, 1]], [0.0, 0.0], q=q)
    assert nobody.tolist() == [0, 0]
    assert weights == [0, 0]


def test_a_loss_near_0_shortens_everybodys_step_where_q_is_below_1() -> None:
    lengths = [float(both([[1.0], [1.0]], [1.0, low], q=0.5)[0]) for low in (1.0, 1e-3, 1e-9)]
    assert lengths[0] > 10 * lengths[1] > 100 * lengths[2] > 0
    assert float(both([[1.0], [1.0]], [1.0, 1e-9], q=1)[0]) == pytest.approx(1 / 3)


def test_nothing_overflows() -> None:
    delta, weights = both([[1e18, 0], [0, 1e-18]], [1e30, 1e-30], q=10)
    assert delta.isfinite().all()
    assert all(np.isfinite(weights))


def test_a_client_that_reports_a_high_loss_gains_weight() -> None:
    """The larger q, the more: what is fair to a client that the model neglects favours an adversary all the same."""
    deltas = torch.ones(10, 3)
    shares = []
    for q in (0.0, 0.5, 1.0, 2.0, 5.0):
        _, weights = both(deltas, [4.0, *[1.0] * 9], q=q)
        shares.append(weights[0] / sum(weights))
    assert shares == pytest.approx([4**q / (4**q + 9) for q in (0.0, 0.5, 1.0, 2.0, 5.0)])
    assert shares == sorted(shares)
    assert shares[-1] > 0.99


def test_updates_without_losses_are_refused() -> None:
    rule = q_fedavg(q=1, lipschitz=1)
    with pytest.raises(ConfigError, match=r"aggregator 'q-fedavg' needs each client's loss before training"):
        rule.apply(client_updates([[1.0]]), VIEW, rule.init())
