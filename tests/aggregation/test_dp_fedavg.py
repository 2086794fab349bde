"""DP-FedAvg: by hand, the noise's spread, and what it states over the rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.stats import chi2
from torch import Tensor

from fedskew import aggregate
from fedskew.aggregation.dp_fedavg import dp_fedavg
from fedskew.aggregation.mean import mean
from fedskew.aggregation.privacy import epsilon
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import initial_state
from fedskew.protocols import Aggregator, Attack, DatasetInfo, State
from fedskew.simulation import rounds
from helpers import PROPERTY, VIEW, build_world, client_updates, delta_matrices


def step(
    rule: Aggregator, deltas: Any, ids: list[int] | None = None, state: State | None = None, seed: int = 0
) -> tuple[Tensor, dict[str, float], State]:
    updates = client_updates(deltas)
    if ids is not None:
        updates = replace(updates, client_ids=torch.tensor(ids))
    view = replace(VIEW, rng=np.random.default_rng(seed))
    delta, trace, after = rule.apply(updates, view, rule.init() if state is None else state)
    assert trace.client_weights is None
    return delta, dict(trace.values), after


def test_by_hand() -> None:
    # Norms 5, 1 and 2, clipped to 2; numbers of examples do not weigh.
    rule = dp_fedavg(clip=2.0, noise_multiplier=0.0)
    delta, trace, _ = step(rule, [[3.0, 4.0], [0.0, 1.0], [-2.0, 0.0]])
    assert delta.tolist() == pytest.approx([(1.2 - 2) / 3, 2.6 / 3])
    assert trace == {}
    weighed = aggregate("dp-fedavg", [[1.0], [0.0]], [9, 1], clip=2.0, noise_multiplier=0.0)
    assert weighed.tolist() == [0.5]


@PROPERTY
@given(delta_matrices())
def test_without_noise_and_clipping_it_is_the_mean_bit_for_bit(deltas: np.ndarray) -> None:
    rule = dp_fedavg(clip=1e9, noise_multiplier=0.0)
    assert torch.equal(step(rule, deltas)[0], mean(client_updates(deltas), VIEW))


@PROPERTY
@given(delta_matrices())
def test_no_client_moves_the_sum_by_more_than_the_clip(deltas: np.ndarray) -> None:
    rule = dp_fedavg(clip=0.5, noise_multiplier=0.0)
    with_all = step(rule, deltas)[0].double() * len(deltas)
    removed = deltas.copy()
    removed[0] = 0
    assert float((step(rule, removed)[0].double() * len(deltas) - with_all).norm()) <= 0.5 * (1 + 1e-5)


def test_the_noise_has_the_stated_variance() -> None:
    parameters = 50_000
    rule = dp_fedavg(clip=3.0, noise_multiplier=2.0)
    delta, trace, _ = step(rule, torch.zeros(4, parameters))
    squares = float((delta.double() / (2.0 * 3.0 / 4)).square().sum())
    low, high = chi2.ppf([1e-6, 1 - 1e-6], parameters)
    assert low < squares < high
    assert trace["signal_to_noise"] == 0
    assert not torch.equal(step(rule, torch.zeros(4, 9), seed=1)[0], step(rule, torch.zeros(4, 9), seed=2)[0])


def test_signal_to_noise_by_hand() -> None:
    # The mean has norm 3; the noise 0.5 * 6 / 3 = 1 in each of four parameters, a norm of 2.
    _, trace, _ = step(dp_fedavg(clip=6.0, noise_multiplier=0.5), [[3.0, 0, 0, 0]] * 3)
    assert trace["signal_to_noise"] == pytest.approx(1.5)


def test_epsilon_is_that_of_the_client_that_took_part_most_often() -> None:
    rule = dp_fedavg(clip=1.0, noise_multiplier=2.0, delta=1e-4)
    state: State | None = None
    for ids, most in (([0, 4], 1), ([1, 4], 2), ([0, 1], 2), ([4, 9], 3)):
        _, trace, state = step(rule, [[1.0], [2.0]], ids, state)
        assert trace["epsilon"] == pytest.approx(epsilon(2.0, most, delta=1e-4), rel=1e-5)
    assert state is not None
    assert state["rounds"].tolist() == [2, 2, 0, 0, 3, 0, 0, 0, 0, 1]


def test_a_mean_of_several_clients_is_refused() -> None:
    with pytest.raises(ConfigError, match="'dp-fedavg' needs one update per client"):
        aggregate("dp-fedavg", torch.eye(4), transforms=["bucketing"], clip=1.0, noise_multiplier=1.0)


def test_an_update_that_is_not_finite_counts_neither_in_the_divisor_nor_as_a_round_of_its_client() -> None:
    """What docs/privacy.md says happens, for which epsilon promises nothing."""

    def broken_later(info: DatasetInfo) -> Attack:
        return Attack(craft=lambda deltas, view, rng: deltas * (float("nan") if view.round > 1 else 1e6))

    private = {"name": "dp-fedavg", "clip": 0.1, "noise_multiplier": 3.0}
    fields = {"rounds": 3, "clients": {"count": 3}, "adversaries": {"count": 1}, "data": "digits"}
    attacked = {"attack": {"name": broken_later}, "defence": {"aggregator": private}}
    world = build_world(Experiment.model_validate({**fields, **attacked}), Execution())
    state = initial_state(world)
    (bad,) = world.population.spread.malicious
    before = state.weights.clone()
    for record in rounds(world, state, []):
        left = 3 if record.round == 1 else 2
        assert record.rejected == ([] if left == 3 else [bad])
        assert float((state.weights - before).std()) == pytest.approx(3.0 * 0.1 / left, rel=0.05)
        before = state.weights.clone()
    assert state.rules["aggregator/0"]["rounds"].tolist() == [1 if k == bad else 3 for k in range(3)]
