"""SCAFFOLD: its control variates by hand, in closed form, and in runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedskew.config import Execution, Experiment
from fedskew.federation.local import keep_client_states, train_cohort
from fedskew.federation.state import empty_states, initial_state
from fedskew.objectives.none import none
from fedskew.objectives.scaffold import scaffold
from fedskew.protocols import Attack, DatasetInfo, LocalResult, LocalView, State
from fedskew.simulation import rounds, simulate
from helpers import build_world, skewed
from quadratics import FOUR, last, train


def experiment(**fields: Any) -> Experiment:
    return skewed("scaffold", **fields)


def test_a_round_by_hand() -> None:
    """Two steps with the raw gradients 3 and 5, c = 1 and c_k = 2; lr = 1/2, and the client is one of four."""
    objective = scaffold()
    assert objective.add is not None
    kept = {"control": torch.tensor([2.0]), "sum": torch.tensor([0.0])}
    weights, sent = torch.tensor([10.0]), {"control": torch.tensor([1.0])}
    for raw in (3.0, 5.0):
        gradient = torch.tensor([raw])
        objective.add(gradient, LocalView(weights, torch.tensor([10.0]), sent, kept, 0.5))
        weights -= 0.5 * gradient
    assert weights.tolist() == [7.0]  # 10 - (3 - 1)/2 - (5 - 1)/2
    start = torch.tensor([10.0])
    kept, uploads = objective.finish(LocalResult(weights - start, 2, 0.5, sent, kept, start, 2))
    # The mean of 3 and 5, which is c_k - c + (w_t - w_k) / (T lr) = 2 - 1 + (10 - 7) / (2/2).
    assert kept["control"].tolist() == [4.0]
    assert kept["sum"].tolist() == [0.0]
    assert uploads["control"].tolist() == [2.0]
    rows = {"control": torch.tensor([[2.0], [6.0]])}
    assert objective.collect(sent, rows, 4)["control"].tolist() == [1.0 + 8.0 / 4]
    assert objective.collect({}, rows, 4)["control"].tolist() == [8.0 / 4]


def half(number: int) -> Sequence[int]:
    return [int(k) for k in np.random.default_rng(number).choice(4, 2, replace=False)]


@pytest.mark.parametrize("cohort", [None, half], ids=["all", "half"])
def test_it_reaches_the_optimum_of_a_sum_where_fedavg_does_not(cohort: Any) -> None:
    optimum, rest = FOUR.optimum(), FOUR.fedavg_rests_at(steps=5, lr=0.1)
    assert (rest - optimum).abs().max() > 0.05
    assert torch.allclose(last(train(FOUR, none(), rounds=300)), rest, rtol=0, atol=1e-12)
    assert torch.allclose(
        last(train(FOUR, scaffold(), rounds=200, cohort=cohort)), optimum, rtol=0, atol=1e-12
    )


def test_the_optimum_is_that_of_the_plain_sum_however_the_average_weighs() -> None:
    found = last(train(FOUR, scaffold(), rounds=400, shares=(1.0, 2.0, 3.0, 4.0)))
    assert torch.allclose(found, FOUR.optimum(), rtol=0, atol=1e-12)
    assert (FOUR.optimum((1.0, 2.0, 3.0, 4.0)) - FOUR.optimum()).abs().max() > 0.05


def test_a_global_step_of_another_size_reaches_it_too() -> None:
    found = last(train(FOUR, scaffold(), rounds=400, server_lr=0.5))
    assert torch.allclose(found, FOUR.optimum(), rtol=0, atol=1e-12)


def test_a_poisoned_control_variate_moves_everybody() -> None:
    """The only adversary's deltas are honest ones; FedAvg cannot be reached through this channel."""

    def poisoned(client: int, uploads: State) -> State:
        return {name: -5 * tensor for name, tensor in uploads.items()} if client == 0 else uploads

    assert (last(train(FOUR, scaffold(), rounds=50, changed=poisoned)) - FOUR.optimum()).abs().max() > 1
    same = last(train(FOUR, none(), rounds=50, changed=poisoned))
    assert torch.equal(same, last(train(FOUR, none(), rounds=50)))


def test_with_plain_sgd_the_mean_gradient_is_what_the_paper_computes_from_the_weights() -> None:
    world = build_world(experiment(), Execution())
    state, lr = initial_state(world), 0.1
    for number, _ in enumerate(rounds(world, initial_state(world), []), start=1):
        trained = train_cohort(world, state, range(5), world.population.shards, frozenset(), [])
        c = state.rules["objective/0"].get("control", torch.zeros(1))
        for job, report, delta in zip(trained.work, trained.local.reports, trained.local.deltas, strict=True):
            steps = len(job.batches)
            by_weights = -c - delta.double() / (steps * lr)
            # Each step rounds weights of at most 2 to float32, which the division by lr makes ten times larger; the
            # control variates, below 2 too, are rounded a few times.
            assert (state.weights.abs().max() + delta.abs().max()) < 2
            assert (report.uploads["control"] - by_weights).abs().max() < 2 * 2**-24 / lr + 8 * 2 * 2**-24
        assert (trained.local.deltas / lr).abs().max() > 0.1, "the test could not tell"
        keep_client_states(world, state, trained, [])
        uploads = torch.stack([report.uploads["control"] for report in trained.local.reports])
        state.rules["objective/0"] = world.objective.collect(
            state.rules["objective/0"], {"control": uploads}, 5
        )
        state.weights, state.round = state.weights + trained.local.deltas.mean(dim=0), number


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.1, "momentum": 0.5}, {"name": "adam"}])
def test_the_first_round_is_fedavgs_bit_for_bit_and_later_ones_are_not(optimizer: dict[str, Any]) -> None:
    training = {"epochs": 2, "batch_size": 64, "optimizer": optimizer}
    plain = [record.metrics for record in simulate(experiment(training=training))]
    found = [
        record.metrics for record in simulate(experiment(training={**training, "objective": "scaffold"}))
    ]
    assert found[0] == plain[0]
    assert found[1] != plain[1]


def not_finite(info: DatasetInfo) -> Attack:
    return Attack(craft=lambda deltas, view, rng: deltas / 0)


BROKEN: dict[str, Any] = {"attack": not_finite, "adversaries": {"count": 1, "start": 2, "every": 2}}
"""A client whose update is rejected in every second round that it takes part in."""


@pytest.mark.parametrize(
    "fields", [{"clients": {"count": 5, "fraction": 0.4}}, BROKEN], ids=["sampled", "broken"]
)
def test_c_is_the_mean_of_all_clients_in_the_cohort_or_not(fields: dict[str, Any]) -> None:
    world = build_world(experiment(rounds=6, **fields), Execution())
    state = initial_state(world)
    for record in rounds(world, state, []):
        assert len(record.rejected) == (fields is BROKEN and record.round % 2 == 0)
        own = [state.clients[k]["objective.control"] for k in state.clients]
        mean = torch.stack(own).double().sum(dim=0) / 5
        # Six sums of numbers below 2, each rounded to float32.
        assert (state.rules["objective/0"]["control"] - mean).abs().max() < 6 * 2 * 2**-23
    assert 2 < len(state.clients) <= 5


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_round_that_the_server_cannot_use_changes_no_control_variate(place: Any, tmp_path: Path) -> None:
    """Krum needs five updates; from the third round on one of five is not finite."""

    one = experiment(
        rounds=4,
        adversaries={"count": 1, "start": 3},
        attack=not_finite,
        defence={"aggregator": {"name": "krum", "f": 1}},
    )
    world = build_world(one, Execution())
    state = initial_state(world, empty_states(world, place, tmp_path / "states", durable=False))
    seen = []
    for record in rounds(world, state, []):
        own = {k: state.clients[k]["objective.control"].clone() for k in state.clients}
        seen.append((record.rejected, state.rules["objective/0"]["control"].clone(), own))
    assert [len(rejected) for rejected, *_ in seen] == [0, 0, 1, 1]
    assert not torch.equal(seen[0][1], seen[1][1])
    for _, c, own in seen[2:]:
        assert torch.equal(c, seen[1][1])
        assert len(own) == 5, "also of the client whose update was rejected"
        assert all(torch.equal(own[k], seen[1][2][k]) for k in own)
