"""FedDyn, both halves: by hand, its fixed points in closed form, and in runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from fedskew.config import Execution
from fedskew.federation.state import initial_state
from fedskew.objectives.feddyn import feddyn
from fedskew.protocols import Attack, DatasetInfo, LocalObjective, LocalResult, ServerView
from fedskew.server.feddyn import feddyn as server_half
from fedskew.simulation import rounds, simulate
from fedskew.testing.examples import LAYOUT
from helpers import build_world, skewed
from quadratics import FOUR, last, train

UNEQUAL = (1.0, 2.0, 3.0, 4.0)


def half(number: int) -> Sequence[int]:
    return [int(k) for k in np.random.default_rng(number).choice(4, 2, replace=False)]


def test_what_a_client_keeps_by_hand() -> None:
    objective, start = feddyn(alpha=0.5), torch.zeros(1)
    kept = {"pull": torch.tensor([3.0])}
    kept, uploads = objective.finish(LocalResult(torch.tensor([2.0]), 1, 0.1, {}, kept, start, 1))
    assert kept["pull"].tolist() == [3.0 - 0.5 * 2.0]
    assert uploads == {}


def test_alpha_of_0_is_no_objective() -> None:
    assert feddyn(alpha=0) == LocalObjective()


@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("cohort", [None, half], ids=["all", "half"])
@pytest.mark.parametrize("steps", [5, 50])
def test_equal_weights_reach_the_optimum_of_the_plain_sum(alpha: float, cohort: Any, steps: int) -> None:
    objective, server = feddyn(alpha=alpha), server_half()
    found = last(train(FOUR, objective, server=server, rounds=600, steps=steps, cohort=cohort))
    assert torch.allclose(found, FOUR.optimum(), rtol=0, atol=1e-9)
    assert (FOUR.fedavg_rests_at(steps, 0.1) - FOUR.optimum()).abs().max() > 0.05


def test_fedavgs_weights_reach_the_optimum_of_the_weighted_sum_where_all_take_part() -> None:
    found = last(train(FOUR, feddyn(alpha=1.0), server=server_half(), rounds=300, shares=UNEQUAL))
    assert torch.allclose(found, FOUR.optimum(UNEQUAL), rtol=0, atol=1e-9)
    assert (FOUR.optimum(UNEQUAL) - FOUR.optimum()).abs().max() > 0.1


def test_fedavgs_weights_with_sampled_cohorts_reach_neither() -> None:
    found = last(
        train(FOUR, feddyn(alpha=1.0), server=server_half(), rounds=600, shares=UNEQUAL, cohort=half)
    )
    for optimum in (FOUR.optimum(), FOUR.optimum(UNEQUAL)):
        assert (found - optimum).abs().max() > 0.01


def test_the_servers_step_is_the_papers_with_h() -> None:
    """h and w as Algorithm 1 has them, with alpha, of 6 clients of which 2, 3 and 1 take part."""
    rng, alpha, clients = np.random.default_rng(0), 0.3, 6
    step, w, h = server_half(), torch.zeros(20, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    theirs, state = w, step.init()
    for number, size in enumerate((2, 3, 1)):
        local = w + torch.from_numpy(rng.standard_normal((size, 20)))
        view = ServerView(number + 1, w, LAYOUT, num_clients=clients, num_updates=size)
        moved, state = step.apply((local - w).mean(dim=0), view, state)
        h = h - alpha / clients * (local - w).sum(dim=0)
        theirs, w = local.mean(dim=0) - h / alpha, w + moved
        assert torch.allclose(theirs, w, rtol=0, atol=1e-12)


def run(rule: str = "mean", alpha: float = 0.5, **fields: Any) -> list[dict[str, float]]:
    halves: dict[str, Any] = {"server": {"step": "feddyn"}, "defence": {"aggregator": rule}}
    one = skewed({"name": "feddyn", "alpha": alpha}, **halves | fields)
    return [record.metrics for record in simulate(one)]


def test_a_rejected_client_keeps_what_the_server_has_of_it() -> None:
    """The sum of all updates stays -1/alpha times the mean of all h_k; here every second round rejects one client's."""

    def not_finite(info: DatasetInfo) -> Attack:
        return Attack(craft=lambda deltas, view, rng: deltas / 0)

    halves: dict[str, Any] = {"server": {"step": "feddyn"}, "defence": {"aggregator": "mean"}}
    broken: dict[str, Any] = {"attack": not_finite, "adversaries": {"count": 1, "start": 2, "every": 2}}
    world = build_world(skewed({"name": "feddyn", "alpha": 0.5}, rounds=6, **halves, **broken), Execution())
    state = initial_state(world)
    for record in rounds(world, state, []):
        assert len(record.rejected) == (record.round % 2 == 0)
        pulls = torch.stack([state.clients[k]["objective.pull"] for k in state.clients]).double()
        left = state.rules["server-step/0"]["moved"] + pulls.sum(dim=0) / 5 / 0.5
        assert left.abs().max() < 1e-5
    assert state.rules["server-step/0"]["moved"].abs().max() > 1e-2


def test_without_alpha_it_is_momentum_that_never_decays_and_not_fedavg() -> None:
    training = {"epochs": 2, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.1}}
    plain = run(training=training, server={})
    found = run(alpha=0.0)
    # With all clients in the cohort the first step is twice FedAvg's, from the same updates.
    assert found[0]["update_norm_honest"] == plain[0]["update_norm_honest"]
    assert found[0]["accuracy"] != plain[0]["accuracy"]
    doubled = run(training=training, server={"learning_rate": 2.0})
    assert found[0] == doubled[0]


def test_it_counts_the_clients_that_sent_something() -> None:
    """A cohort of 2 of 5: the first step is 1 + 2/5 times the mean, whatever a transform makes of the rows."""
    training = {"epochs": 2, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.1}}
    sampled: dict[str, Any] = {"clients": {"count": 5, "fraction": 0.4}}
    pairs = {"aggregator": "mean", "transforms": [{"name": "bucketing", "size": 2}]}
    found = run(alpha=0.0, **sampled, defence=pairs)
    plain = run(training=training, server={"learning_rate": 1.4}, **sampled, defence=pairs)
    assert found[0]["accuracy"] == plain[0]["accuracy"]
    assert found[0]["test_loss"] == pytest.approx(plain[0]["test_loss"], rel=1e-5)


def test_it_composes_with_a_robust_rule_and_adversaries() -> None:
    attacked: dict[str, Any] = {"adversaries": {"count": 1}, "attack": "opt-ipm"}
    assert run("median", **attacked) != run("median")
