"""Personal models in a run: what they are, that the global run never sees them, who has one, what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedskew import Verdict
from fedskew.config import SGD, Execution, Experiment
from fedskew.federation import client_state
from fedskew.federation.client_state import FolderStates, MemoryStates
from fedskew.federation.state import RunState, empty_states, initial_state
from fedskew.federation.world import World
from fedskew.models.build import fresh
from fedskew.protocols import DatasetInfo, LocalObjective, PersonalModel, RoundRecord, State
from fedskew.simulation import rounds
from fedskew.training.arithmetic import flatten
from fedskew.training.engine import CohortResult, Engine
from fedskew.training.plan import ClientWork, plan
from helpers import build_world

CLIENTS = 6
DITTO = {"name": "ditto", "strength": 0.5}
KINDS: dict[str, Any] = {
    "ditto": DITTO,
    "local": {"name": "ditto", "strength": 0.0, "epochs": 2},
    "tuned": "fine-tuning",
}
BACKDOOR = {"adversaries": {"count": 2}, "attack": {"name": "backdoor", "target": 7}}
ADAM = {"name": "adam", "state": "persist"}


def experiment(personal: Any = "none", optimizer: Any = "adam", **changes: Any) -> Experiment:
    clients = {"count": CLIENTS, "held_out": 0.2, "personal": personal, **changes.pop("clients", {})}
    training = {"epochs": 1, "batch_size": 32, "optimizer": optimizer, **changes.pop("training", {})}
    plain = {"rounds": 3, "seed": 2, "split": {"name": "dirichlet", "alpha": 0.5}, "training": training}
    return Experiment.model_validate({**plain, "clients": clients, **changes})


def run(one: Experiment, **execution: Any) -> tuple[World, RunState, list[RoundRecord]]:
    world = build_world(one, Execution(**execution))
    state = initial_state(world)
    return world, state, list(rounds(world, state, []))


def own_weights(state: RunState) -> dict[int, Tensor]:
    return {k: kept["personal.weights"] for k, kept in state.clients.items() if "personal.weights" in kept}


def without_personal(record: RoundRecord) -> RoundRecord:
    kept = {name: value for name, value in record.metrics.items() if not name.startswith("personal_")}
    return replace(
        record, metrics=kept, per_client_personal={}, late=[name for name in record.late if name in kept]
    )


def dropping(info: DatasetInfo) -> nn.Module:
    size = int(np.prod(info.image_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, info.num_classes)
    )


# --- the global run is the one without ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**BACKDOOR, "optimizer": ADAM, "clients": {"fraction": 0.5}},
        {"model": dropping, "rounds": 2},
        {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "state": "persist"}, "rounds": 2},
    ],
    ids=["adam", "attacked, moments persist, half of the clients", "dropout", "momentum"],
)
def test_the_global_run_is_bit_for_bit_the_one_without(kind: str, changes: dict[str, Any]) -> None:
    plain, found = run(experiment(**changes)), run(experiment(KINDS[kind], **changes))
    assert torch.equal(plain[1].weights, found[1].weights)
    assert [without_personal(record) for record in found[2]] == plain[2]
    assert all(record.per_client_personal.keys() == record.per_client_accuracy.keys() for record in found[2])
    assert all("personal_accuracy_mean" in record.metrics for record in found[2])
    for client, kept in plain[1].clients.items():
        assert all(torch.equal(tensor, found[1].clients[client][name]) for name, tensor in kept.items())


@pytest.mark.parametrize("engine", ["torch", "stacked", "graph"])
@pytest.mark.parametrize("kind", KINDS)
def test_on_every_engine(kind: str, engine: Any) -> None:
    native = run(experiment(KINDS[kind], rounds=2))
    plain, found = (
        run(experiment(rounds=2), engine=engine),
        run(experiment(KINDS[kind], rounds=2), engine=engine),
    )
    assert torch.equal(plain[1].weights, found[1].weights)
    for client, weights in own_weights(native[1]).items():
        # Two rounds of some steps of Adam, whose sign-like first steps differ where a gradient is near 0.
        assert (weights - own_weights(found[1])[client]).norm() < 1e-2 * weights.norm()


def test_threads_and_where_states_are_kept_change_nothing(tmp_path: Path) -> None:
    one = experiment(DITTO, ADAM, clients={"fraction": 0.5})
    expected = run(one)
    world = build_world(one, Execution(workers=3))
    state = initial_state(world, FolderStates(tmp_path, CLIENTS, durable=False))
    assert list(rounds(world, state, [])) == expected[2]
    for client, kept in expected[1].clients.items():
        stored = state.clients[client]
        assert kept.keys() == stored.keys()
        assert all(torch.equal(tensor, stored[name]) for name, tensor in kept.items())


# --- what they are ------------------------------------------------------------------------------------


def plain_ditto(
    world: World, cohorts: Sequence[Sequence[int]], globals_: Sequence[Tensor], strength: float
) -> Any:
    """The personal part of Algorithm 1 as a reader would write it: float64, the pull as a part of the loss."""
    info, lr = world.dataset.info, world.experiment.training.optimizer.lr
    mean, std = (
        torch.tensor(info.mean).double().view(-1, 1, 1),
        torch.tensor(info.std).double().view(-1, 1, 1),
    )
    own: dict[int, nn.Module] = {}
    for number, (cohort, received) in enumerate(zip(cohorts, globals_, strict=True), start=1):
        for client in cohort:
            if client not in own:
                own[client] = fresh(mlp, info, world.experiment.seed).double()
            parameters = list(own[client].parameters())
            anchors = torch.split(received.double(), [p.numel() for p in parameters])
            optimizer = torch.optim.SGD(parameters, lr=lr)
            training = world.experiment.training
            shards = world.population.spread.shards
            (job,) = plan(world.experiment.seed, number, [client], shards, training, purpose="personal ")
            for batch in job.batches:
                images = (world.dataset.x_train[batch].double() / 255 - mean) / std
                loss = functional.cross_entropy(own[client](images), world.dataset.y_train[batch])
                for parameter, anchor in zip(parameters, anchors, strict=True):
                    loss = loss + strength / 2 * (parameter - anchor.view_as(parameter)).square().sum()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return {client: flatten(list(module.parameters())) for client, module in own.items()}


def mlp(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(info.image_shape)), info.num_classes))


@pytest.mark.parametrize("strength", [0.0, 0.7])
@pytest.mark.parametrize("engine", ["native", "torch", "stacked", "graph"])
def test_ditto_is_a_plain_loop_over_the_rounds_of_a_client(strength: float, engine: Any) -> None:
    one = experiment(
        {"name": "ditto", "strength": strength},
        {"name": "sgd", "lr": 0.05},
        model=mlp,
        rounds=4,
        clients={"fraction": 0.5},
        **BACKDOOR,
    )
    world = build_world(one, Execution(engine=engine))
    state, globals_, cohorts = initial_state(world), [], []
    begun = state.weights
    for record in rounds(world, state, []):
        globals_.append(begun)
        cohorts.append([k for k in record.cohort if k in world.population.spread.honest])
        begun = state.weights
    found = own_weights(state)
    expected = plain_ditto(world, cohorts, globals_, strength)
    assert found.keys() == expected.keys()
    assert len({len([c for c in cohorts if k in c]) for k in found}) > 1, (
        "some took part more often than others"
    )
    for client, weights in found.items():
        moved = (expected[client] - world.initial_weights).norm()
        # A convex loss and small steps: rounding does not grow. 2^-24 per operation of some tens of steps.
        assert (weights - expected[client]).norm() < 1e-4 * moved


def test_without_a_pull_they_are_purely_local() -> None:
    """Neither an attack nor what other clients do reaches them."""
    local = {"name": "ditto", "strength": 0.0}
    attack = {**BACKDOOR, "attack": {"name": "sign-flip", "scale": 3.0}}
    quiet = run(experiment(local, **{**attack, "attack": "none"}))
    loud = run(experiment(local, **attack, defence={"aggregator": "median"}))
    assert not torch.equal(quiet[1].weights, loud[1].weights)
    assert own_weights(quiet[1]).keys() == own_weights(loud[1]).keys() == {*quiet[0].population.spread.honest}
    for client, weights in own_weights(quiet[1]).items():
        assert torch.equal(weights, own_weights(loud[1])[client])


def test_the_stronger_the_pull_the_nearer_the_global_weights() -> None:
    def distance(strength: float) -> float:
        one = experiment({"name": "ditto", "strength": strength}, {"name": "sgd", "lr": 0.1}, rounds=4)
        world = build_world(one, Execution())
        state = initial_state(world)
        *_, begun, _ = [state.weights for _ in rounds(world, state, [])]
        return float(torch.stack([(w - begun).norm() for w in own_weights(state).values()]).mean())

    none, weak, strong = distance(0.0), distance(1.0), distance(9.0)
    assert none > weak > strong
    assert strong < none / 5


def test_fine_tuning_is_training_from_the_new_global_weights() -> None:
    one = experiment(
        {"name": "fine-tuning", "epochs": 2}, clients={"fraction": 0.34}, evaluation={"every": 2}
    )
    world = build_world(one, Execution())
    state, found = initial_state(world), []
    for record in rounds(world, state, []):
        found.append("personal_accuracy_mean" in record.metrics)
        assert len(state.clients) == 0, "nothing lasts"
    assert found == [False, True, True], "every second round, and the last"
    assert record.metrics["personal_share"] == 1, "clients outside the cohort too"
    where, data, accuracies = world.population.spread, world.dataset, []
    for client in range(CLIENTS):
        training = one.training.model_copy(update={"epochs": 2})
        work = plan(one.seed, 3, [client], where.shards, training, purpose="personal ")
        delta = world.engine.train(state.weights, state.buffers, work, {}).deltas[0]
        held = torch.from_numpy(where.held_out[client])
        seen = world.engine.predict(
            state.weights + delta, state.buffers, data.x_train[held], data.y_train[held]
        )
        accuracies.append(float((seen.classes == data.y_train[held]).double().mean()))
    metrics = record.metrics
    assert metrics["personal_accuracy_mean"] == pytest.approx(sum(accuracies) / CLIENTS)
    assert metrics["personal_accuracy_worst"] == min(accuracies)
    assert metrics["personal_accuracy_std"] == pytest.approx(float(np.std(accuracies)))
    assert metrics["personal_accuracy_mean"] > metrics["held_out_accuracy_mean"]


def test_fine_tuning_steps_as_far_as_the_next_round_would() -> None:
    """At a learning rate of 0 from the third round on, the global model of the second cannot be tuned any more."""
    asked: list[int] = []

    def schedule(history: Sequence[RoundRecord]) -> float:
        asked.append(len(history))
        return float(len(history) < 2)

    _, _, (first, second) = run(experiment("fine-tuning", rounds=2, training={"lr_schedule": schedule}))
    assert asked == [0, 1, 1, 2]
    assert first.metrics["personal_accuracy_mean"] != first.metrics["held_out_accuracy_mean"]
    assert second.metrics["personal_accuracy_mean"] == second.metrics["held_out_accuracy_mean"]


# --- who has one --------------------------------------------------------------------------------------


def test_a_client_keeps_its_model_over_rounds_in_which_it_does_not_take_part() -> None:
    world = build_world(experiment(DITTO, clients={"fraction": 0.34}, rounds=5, **BACKDOOR), Execution())
    state, seen = initial_state(world), set()
    honest = set(world.population.spread.honest)
    before: dict[int, Tensor] = {}
    for record in rounds(world, state, []):
        now = own_weights(state)
        seen |= honest & {*record.cohort}
        assert now.keys() == seen, "never an adversary"
        assert record.metrics["personal_share"] == len(seen) / len(honest)
        for client, weights in before.items():
            assert torch.equal(weights, now[client]) == (client not in record.cohort)
        before = now
    assert 0 < len(seen) <= len(honest)


def test_who_has_none_is_measured_with_the_global_model() -> None:
    """Of the first round's cohort is one client; the others are measured as ``held_out_`` metrics are."""
    world, state, (first,) = run(experiment(DITTO, clients={"fraction": 0.17}, rounds=1))
    (own,) = own_weights(state)
    held = torch.from_numpy(world.population.spread.held_out[own])
    images, labels = world.dataset.x_train[held], world.dataset.y_train[held]

    def accuracy(weights: Tensor) -> float:
        return float(
            (world.engine.predict(weights, state.buffers, images, labels).classes == labels).double().mean()
        )

    change = (accuracy(own_weights(state)[own]) - accuracy(state.weights)) / CLIENTS
    found = first.metrics["personal_accuracy_mean"] - first.metrics["held_out_accuracy_mean"]
    assert found == pytest.approx(change)
    assert first.metrics["personal_share"] == 1 / CLIENTS


def half_empty(labels: Any, num_clients: int, rng: Any) -> list[Any]:
    parts = np.array_split(rng.permutation(len(labels)), num_clients - 2)
    return [*parts, np.empty(0, dtype=np.int64), parts[0][:0]]


@pytest.mark.parametrize("kind", KINDS)
def test_clients_without_data_have_none_and_are_not_measured(kind: str) -> None:
    _, state, records = run(experiment(KINDS[kind], split=half_empty))
    assert own_weights(state).keys() <= {0, 1, 2, 3}
    assert records[-1].empty == [4, 5]
    assert records[-1].metrics["personal_share"] == 1


class Breaking:
    """An engine whose honest local training of one client gives nothing finite in one call."""

    def __init__(self, engine: Engine, client: int) -> None:
        self.engine, self.client, self.calls = engine, client, 0
        self.name, self.workers = engine.name, engine.workers

    def train(
        self, weights: Tensor, buffers: Tensor, work: Sequence[ClientWork], states: Mapping[int, State]
    ) -> CohortResult:
        result = self.engine.train(weights, buffers, work, states)
        self.calls += 1
        if self.calls == 3:  # the second round's local training; each round has one of personal models too
            result.deltas[[job.client for job in work].index(self.client)] = torch.nan
        return result

    def predict(self, *given: Any) -> Any:
        return self.engine.predict(*given)


def test_a_rejected_update_leaves_the_personal_model_alone() -> None:
    world = build_world(experiment(DITTO, ADAM), Execution())
    whole = initial_state(world)
    list(rounds(world, whole, []))
    broken = replace(world, engine=Breaking(world.engine, 3))
    state = initial_state(broken)
    stepped = rounds(broken, state, [])
    next(stepped)
    before = own_weights(state)[3]
    assert next(stepped).rejected == [3]
    kept = state.clients[3]
    assert not torch.equal(kept["personal.weights"], before), "it was trained"
    assert all(name.startswith("personal.") for name in kept), "what else it kept was dropped with its update"
    next(stepped)
    assert "exp_avg" in state.clients[3]


def test_a_personal_model_that_diverges_begins_again() -> None:
    def breaking() -> PersonalModel:
        def add(gradient: Tensor, view: Any) -> None:
            gradient.mul_(torch.inf)

        return PersonalModel(objective=LocalObjective(add=add), lasting=True)

    plain, found = run(experiment()), run(experiment(breaking))
    assert own_weights(found[1]) == {}
    assert torch.equal(plain[1].weights, found[1].weights)
    metrics = found[2][-1].metrics
    assert metrics["personal_share"] == 0
    assert metrics["personal_accuracy_mean"] == metrics["held_out_accuracy_mean"]


def test_its_objective_may_keep_something() -> None:
    def counting() -> PersonalModel:
        def finish(result: Any) -> Any:
            return {"n": result.kept["n"] + 1}, {}

        objective = LocalObjective(init=lambda parameters: {"n": torch.zeros(1)}, finish=finish)
        return PersonalModel(objective=objective, lasting=True)

    _, state, _ = run(experiment(counting, ADAM))
    for kept in state.clients.values():
        assert int(kept["personal.objective.n"]) == 3
        assert int(kept["personal.step"]) == int(kept["step"])
        assert not torch.equal(kept["personal.exp_avg"], kept["exp_avg"])
    assert not any(name.startswith("objective.") for kept in state.clients.values() for name in kept)


# --- models with buffers ------------------------------------------------------------------------------


def normed(info: DatasetInfo) -> nn.Module:
    size = int(np.prod(info.image_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(size, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, info.num_classes)
    )


@pytest.mark.parametrize("engine", ["torch", "graph"])
def test_a_personal_model_has_its_own_running_statistics(engine: Any) -> None:
    one = experiment(DITTO, model=normed, rounds=2, training={"last_batch": "merge"})
    world, state, records = run(one, engine=engine)
    statistics = {k: kept["personal.buffers"] for k, kept in state.clients.items()}
    assert not torch.equal(statistics[0], statistics[1])
    counted = {k: int(own[-1]) for k, own in statistics.items()}  # the batches it has seen, over both rounds
    steps = {k: len(job.batches) for k, job in _jobs(world)}
    assert counted == {k: 2 * steps[k] for k in counted}
    assert records[-1].metrics["personal_accuracy_mean"] > records[-1].metrics["held_out_accuracy_mean"]


def _jobs(world: World) -> list[tuple[int, ClientWork]]:
    shards = world.population.spread.shards
    return [(job.client, job) for job in plan(0, 1, range(CLIENTS), shards, world.experiment.training)]


@pytest.mark.parametrize("engine", ["torch", "graph"])
def test_work_with_buffers_of_its_own_starts_from_them(engine: Any) -> None:
    one = experiment(model=normed, training={"last_batch": "merge"})
    world = build_world(one, Execution(engine=engine))
    jobs = [job for _, job in _jobs(world)]
    other = world.initial_buffers + 3
    mixed = world.engine.train(
        world.initial_weights, world.initial_buffers, [jobs[0], replace(jobs[1], buffers=other)], {}
    )
    apart = [
        world.engine.train(world.initial_weights, start, [job], {}).buffers[0]
        for job, start in ((jobs[0], world.initial_buffers), (jobs[1], other))
    ]
    for found, expected in zip(mixed.buffers, apart, strict=True):
        assert torch.allclose(found, expected, rtol=1e-5)
    assert (apart[0] - apart[1]).norm() > 1


# --- what is measured ---------------------------------------------------------------------------------


def test_the_attack_success_rate_is_of_the_clients_own_images_with_the_trigger() -> None:
    attack = {"name": "backdoor", "target": 7, "source_classes": [1, 2, 3]}
    world, state, records = run(experiment(DITTO, adversaries={"count": 2}, attack=attack, rounds=6))
    where, data, shares = world.population.spread, world.dataset, []
    assert world.attack.trigger is not None
    for client in where.honest:
        held = torch.from_numpy(where.held_out[client])
        held = held[torch.isin(data.y_train[held], torch.tensor([1, 2, 3]))]
        if len(held):
            images = world.attack.trigger.apply(data.x_train[held])
            seen = world.engine.predict(own_weights(state)[client], state.buffers, images, data.y_train[held])
            shares.append(float((seen.classes == 7).double().mean()))
    assert records[-1].metrics["personal_attack_success_rate"] == pytest.approx(sum(shares) / len(shares))
    assert "personal_attack_success_rate" not in run(experiment(DITTO, rounds=1))[2][0].metrics


def test_no_rule_sees_them() -> None:
    seen: list[set[str]] = []

    def watching(history: Sequence[RoundRecord]) -> Verdict:
        seen.append({*history[-1].metrics})
        return Verdict(False)

    _, _, records = run(experiment(DITTO, stopping=watching))
    assert len(seen) == 3
    assert not any(name.startswith("personal_") for names in seen for name in names)
    assert all(
        name in record.late for record in records for name in record.metrics if name.startswith("personal_")
    )


@pytest.mark.parametrize("optimizer", ["adam", ADAM, SGD(momentum=0.9, state="persist")])
def test_the_estimate_of_what_clients_keep_counts_their_models(
    optimizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, state, _ = run(experiment(DITTO, optimizer, rounds=1))
    sizes = [
        sum(t.numel() * t.element_size() for t in kept.values() if t.ndim) for kept in state.clients.values()
    ]
    monkeypatch.setattr(client_state, "MEMORY_LIMIT", CLIENTS * max(sizes))
    assert type(empty_states(world, "auto", tmp_path)) is MemoryStates
    monkeypatch.setattr(client_state, "MEMORY_LIMIT", CLIENTS * max(sizes) - 1)
    assert type(empty_states(world, "auto", tmp_path)) is FolderStates
