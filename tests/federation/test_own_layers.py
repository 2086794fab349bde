"""Layers that clients keep for themselves (FedBN): against a plain loop over clients, its limits, its refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.own_layers import BUFFERS, OWN
from fedskew.federation.state import RunState, initial_state
from fedskew.federation.world import World, build_world
from fedskew.personal.fedbn import fedbn, normalising
from fedskew.protocols import PersonalModel, RoundRecord
from fedskew.simulation import rounds
from fedskew.training.plan import plan

CNN = {"name": "small-cnn", "norm": "batch"}


def experiment(personal: Any = "fedbn", **changes: Any) -> Experiment:
    plain: dict[str, Any] = {
        "data": "digits",
        "rounds": 3,
        "model": CNN,
        "split": {"name": "dirichlet", "alpha": 0.5},
        "clients": {"count": 4, "held_out": 0.2, "personal": personal},
        "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.05}},
        "defence": {"aggregator": "mean"},
    }
    return Experiment.model_validate(plain | changes)


def run(config: Experiment) -> tuple[World, RunState, list[RoundRecord]]:
    world = build_world(completed(config), Execution())
    state = initial_state(world)
    return world, state, list(rounds(world, state, []))


def test_each_client_trains_from_the_global_model_with_its_own_layers() -> None:
    """The loop of the paper, client by client, on the same batches: own layers never leave a client."""
    config = experiment()
    world, state, _ = run(config)
    mask = normalising(world.module)
    weights, clients = world.initial_weights.clone(), range(4)
    own: dict[int, tuple[Tensor, Tensor]] = {}
    for number in range(1, 4):
        ends = []
        for client in clients:
            start, buffers = weights.clone(), world.initial_buffers
            if client in own:
                start[mask], buffers = own[client]
            elif number > 1:
                raise AssertionError("all clients take part in every round")
            job = plan(config.seed, number, [client], world.population.shards, config.training)
            found = world.engine.train(start, buffers, job, {})
            ends.append(start + found.deltas[0])
            own[client] = ends[-1][mask], found.buffers[0].clone()
        weights = torch.stack(ends).mean(dim=0)
    torch.testing.assert_close(state.weights, weights, rtol=0, atol=1e-5)
    for client in clients:
        torch.testing.assert_close(state.clients[client][OWN], own[client][0], rtol=0, atol=1e-6)
        torch.testing.assert_close(state.clients[client][BUFFERS], own[client][1], rtol=0, atol=1e-5)


def test_personal_metrics_are_those_of_the_clients_own_layers() -> None:
    world, state, records = run(experiment())
    where, data, mask = world.population.spread, world.dataset, normalising(world.module)
    right = []
    for client in range(4):
        weights = state.weights.clone()
        weights[mask] = state.clients[client][OWN]
        at = torch.from_numpy(where.held_out[client])
        seen = world.engine.predict(
            weights, state.clients[client][BUFFERS], data.x_train[at], data.y_train[at]
        )
        right.append(float((seen.classes == data.y_train[at]).double().mean()))
    assert records[-1].metrics["personal_accuracy_mean"] == pytest.approx(sum(right) / 4)
    assert records[-1].metrics["personal_share"] == 1.0


def test_a_single_client_is_fedavg() -> None:
    alone = {"clients": {"count": 1, "held_out": 0.2}}
    with_layers = experiment(clients={"count": 1, "held_out": 0.2, "personal": "fedbn"})
    torch.testing.assert_close(
        run(with_layers)[1].weights, run(experiment(**alone))[1].weights, atol=1e-6, rtol=0
    )


def test_the_first_round_is_fedavgs_and_later_ones_are_not() -> None:
    ours, plain = run(experiment())[2], run(experiment("none"))[2]
    own = {"personal_accuracy_mean", "personal_share"}
    assert own <= ours[0].metrics.keys()
    assert {n: v for n, v in ours[0].metrics.items() if not n.startswith("personal_")} == plain[0].metrics
    assert ours[-1].metrics["test_loss"] != plain[-1].metrics["test_loss"]


def test_who_has_not_taken_part_uses_the_global_model_and_adversaries_keep_nothing() -> None:
    config = experiment(
        rounds=1,
        clients={"count": 6, "fraction": 0.5, "held_out": 0.2, "personal": "fedbn"},
        adversaries={"count": 2},
        attack={"name": "backdoor", "target": 7},
    )
    world, state, records = run(config)
    keeping = {k for k, kept in state.clients.items() if OWN in kept}
    assert keeping == set(records[0].cohort) & set(world.population.spread.honest)
    assert 0 < records[0].metrics["personal_share"] < 1


def test_a_run_that_goes_on_from_its_state_is_the_one_that_never_stopped() -> None:
    config = experiment(rounds=4)
    world = build_world(completed(config), Execution())
    state = initial_state(world)
    records = []
    for record in rounds(world, state, []):
        records.append(record)
        if record.round == 2:
            break
    rest = list(rounds(build_world(completed(config), Execution()), state, records))
    assert [r.metrics for r in rest] == [r.metrics for r in run(config)[2][2:]]


@pytest.mark.parametrize(
    ("personal", "model", "message"),
    [
        ("fedbn", "mlp", "clients.personal = 'fedbn': model 'mlp' has no layers that clients would keep"),
        (
            lambda: PersonalModel(0, own=lambda module: torch.ones(3, dtype=torch.bool)),
            CNN,
            "own must return bool",
        ),
        (lambda: PersonalModel(1, own=normalising), CNN, "expected epochs = 0"),
        (lambda: PersonalModel(0, own=3), CNN, "own of its PersonalModel is 3; expected a function"),  # type: ignore[arg-type]
    ],
    ids=["no such layers", "another shape", "epochs", "no function"],
)
def test_what_cannot_be_kept_is_refused(personal: Any, model: Any, message: str) -> None:
    make = personal

    def mine() -> PersonalModel:
        found: PersonalModel = make()
        return found

    personal = mine if callable(make) else make
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        build_world(completed(experiment(personal, model=model)), Execution())


def test_which_layers_normalise() -> None:
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 1),
        torch.nn.GroupNorm(1, 2),
        torch.nn.InstanceNorm2d(2, affine=True),
        torch.nn.LayerNorm(3),
    )
    assert normalising(layers).tolist() == [False] * 4 + [True] * (4 + 4 + 6)
    assert fedbn().own is normalising


def test_the_global_model_has_the_mean_of_the_layers_of_those_who_took_part_last() -> None:
    """Half of the clients take part in each round: what they start from of their own does not add up."""
    config = experiment(rounds=6, clients={"count": 6, "fraction": 0.5, "held_out": 0.2, "personal": "fedbn"})
    world, state, records = run(config)
    mask = normalising(world.module)
    own = torch.stack([state.clients[k][OWN] for k in records[-1].cohort])
    torch.testing.assert_close(state.weights[mask], own.mean(dim=0), rtol=0, atol=1e-6)
