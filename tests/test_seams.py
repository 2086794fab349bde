"""Every seam in a run: what a component is given, what becomes of what it returns, null components."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedskew
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import initial_state
from fedskew.protocols import (
    AdversaryView,
    AggregationTrace,
    Aggregator,
    Attack,
    ClientEvaluation,
    ClientUpdates,
    Crafted,
    DatasetInfo,
    LocalObjective,
    LocalSettings,
    LocalView,
    Observation,
    Observer,
    RoundRecord,
    SelectionView,
    ServerStep,
    ServerView,
    Shard,
    StartView,
    StartWeights,
    State,
    ThreatModel,
    UpdateTransform,
)
from fedskew.runs.folder import RunFolder
from fedskew.simulation import rounds, simulate
from helpers import build_world, execute

BASE: dict[str, Any] = {
    "rounds": 4,
    "stopping": "rounds",
    "clients": {"count": 6},
    "split": {"name": "dirichlet", "alpha": 1.0},
    "training": {"epochs": 1, "batch_size": 64},
    "defence": {"aggregator": "mean"},
}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({**BASE, **changes})


def run(**changes: Any) -> tuple[list[RoundRecord], Tensor]:
    """The records of a run and its last weights."""
    world = build_world(experiment(**changes), Execution())
    state = initial_state(world)
    records = list(rounds(world, state, []))
    return records, state.weights


def same(first: tuple[list[RoundRecord], Tensor], second: tuple[list[RoundRecord], Tensor]) -> bool:
    return first[0] == second[0] and torch.equal(first[1], second[1])


ATTACKED: dict[str, Any] = {
    "adversaries": {"count": 2},
    "attack": {"name": "backdoor", "target": 7, "poison_fraction": 0.5},
}


# --- null components are no components ---------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"epochs": 1, "batch_size": 64, "objective": {"name": "fedprox", "mu": 0.0}}},
        {"server": {"step": {"name": "momentum", "beta": 0.0}}},
        {"clients": {"count": 6, "start": {"name": "stale", "delay": 0}}},
        {"clients": {"count": 6, "selection": "uniform"}},
        {"defence": {"aggregator": "mean", "transforms": [{"name": "bucketing", "size": 1}]}},
        {"evaluation": {"observers": ["update-norms"]}},
    ],
    ids=["fedprox 0", "momentum 0", "delay 0", "uniform", "buckets of one", "observer"],
)
def test_a_null_component_is_bit_for_bit_the_run_without(changes: dict[str, Any]) -> None:
    plain, found = run(), run(**changes)
    assert torch.equal(plain[1], found[1])
    for one, other in zip(plain[0], found[0], strict=True):
        assert one.metrics.items() <= other.metrics.items()


@pytest.mark.parametrize(
    "changes",
    [
        {"adversaries": {"count": 2, "start": 1, "every": 1, "stop": 4}},
        {"attack": {**ATTACKED["attack"], "report": 1.0, "projection": None}},
    ],
    ids=["schedule: always", "n_k as they are"],
)
def test_a_null_part_of_an_attack_is_bit_for_bit_the_attack_without(changes: dict[str, Any]) -> None:
    assert same(run(**ATTACKED), run(**{**ATTACKED, **changes}))


# --- the schedule of an attack -----------------------------------------------------------------------


def test_adversaries_act_from_start_to_stop_every_nth_round_and_are_honest_else() -> None:
    adversaries = experiment(adversaries={"count": 1, "start": 3, "stop": 8, "every": 2}).adversaries
    assert [n for n in range(1, 12) if adversaries.act_in(n)] == [3, 5, 7]
    acted: list[int] = []

    def attack(info: Any) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
            acted.append(view.round)
            return -deltas

        return Attack(craft=craft)

    records, _ = run(rounds=5, adversaries={"count": 1, "start": 2, "every": 2}, attack=attack)
    assert acted == [2, 4]
    benign, _ = run(rounds=5)
    assert records[0].metrics["accuracy"] == benign[0].metrics["accuracy"]
    assert records[1].metrics["accuracy"] != benign[1].metrics["accuracy"]


def test_an_attack_that_never_starts_is_the_benign_run() -> None:
    benign, late = run(), run(**{**ATTACKED, "adversaries": {"count": 2, "start": 99}})
    assert torch.equal(benign[1], late[1]), "adversaries train on their data as it was before it was poisoned"


# --- state, identity, n_k, own training --------------------------------------------------------------


def counting(info: Any) -> Attack:
    """Sends its state times its honest delta, and counts the rounds in which it acted."""

    def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Crafted:
        assert view.state is not None
        times = view.state["times"] + 1
        return Crafted(deltas * (1 + 0.1 * times), state={"times": times})

    return Attack(craft=craft, init=lambda: {"times": torch.zeros(())})


def test_an_attacks_state_goes_from_round_to_round() -> None:
    world = build_world(experiment(adversaries={"count": 2}, attack=counting), Execution())
    state = initial_state(world)
    for number, _ in enumerate(rounds(world, state, []), start=1):
        assert float(state.rules["attack/0"]["times"]) == number


def test_adversaries_know_which_of_them_they_are() -> None:
    seen: dict[str, Any] = {"poisoned": []}

    def attack(info: Any) -> Attack:
        def poison(shard: Shard, rng: Any) -> Shard:
            seen["poisoned"].append((shard.rank, shard.count))
            return shard

        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
            assert view.ranks is not None
            seen["crafted"] = (view.ranks.tolist(), view.count, view.client_ids.tolist())
            return deltas

        return Attack(poison=poison, craft=craft)

    world = build_world(experiment(adversaries={"count": 3}, attack=attack), Execution())
    next(rounds(world, initial_state(world), []))
    assert seen["poisoned"] == [(0, 3), (1, 3), (2, 3)]
    assert seen["crafted"] == ([0, 1, 2], 3, list(world.population.spread.malicious))


def test_adversaries_may_lie_about_how_many_examples_they_have() -> None:
    reported: list[list[int]] = []

    def aggregator(updates: ClientUpdates, view: ServerView) -> Tensor:
        reported.append(updates.num_examples.tolist())
        return updates.deltas.mean(dim=0)

    attack = {"name": "backdoor", "target": 7, "report": 10.0}
    world = build_world(
        experiment(adversaries={"count": 1}, attack=attack, defence={"aggregator": aggregator}), Execution()
    )
    record = next(rounds(world, initial_state(world), []))
    (bad,) = world.population.spread.malicious
    true = world.num_examples.tolist()
    assert reported[0] == [10 * n if k == bad else n for k, n in enumerate(true)]
    honest, _ = run(rounds=1, adversaries={"count": 1}, attack={"name": "backdoor", "target": 7})
    assert record.metrics["train_loss"] == honest[0].metrics["train_loss"], "measured with the true n_k"


def test_adversaries_train_in_their_own_way_and_honest_clients_as_before() -> None:
    deltas: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def aggregator(updates: ClientUpdates, view: ServerView) -> Tensor:
            deltas[name] = updates.deltas.clone()
            return updates.deltas.mean(dim=0)

        return aggregator

    def attack(info: Any, *, own: bool) -> Attack:
        def project(weights: Tensor, view: LocalView) -> None:
            weights.copy_(view.start)

        ball = LocalObjective(project=project)
        return Attack(objective=ball) if own else Attack(training=LocalSettings(epochs=3, lr=0.1))

    for name, own in (("long", False), ("pinned", True)):
        run(
            rounds=1,
            adversaries={"count": 1},
            attack=functools.partial(attack, own=own),
            defence={"aggregator": keep(name)},
        )
    run(rounds=1, defence={"aggregator": keep("honest")})
    (bad,) = build_world(experiment(adversaries={"count": 1}), Execution()).population.spread.malicious
    others = [k for k in range(6) if k != bad]
    for name in ("long", "pinned"):
        assert torch.equal(deltas[name][others], deltas["honest"][others])
    assert deltas["long"][bad].norm() > 3 * deltas["honest"][bad].norm()
    assert not deltas["pinned"][bad].any(), "projected onto where it started"


# --- threat models -----------------------------------------------------------------------------------


def test_only_a_threat_model_that_knows_the_defence_can_try_it() -> None:
    views: dict[str, AdversaryView] = {}
    moved: list[Tensor] = []

    def attack(info: Any, *, threat: str) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
            views[threat] = view
            if view.simulate is not None:
                moved.append(view.simulate(2 * deltas))
            return 2 * deltas

        return Attack(craft=craft, threat_model=threat)

    before = torch.zeros(0)
    for threat in ("own-updates", "all-updates", "knows-the-defence"):
        world = build_world(
            experiment(
                rounds=1,
                adversaries={"count": 1},
                attack=functools.partial(attack, threat=threat),
                defence={"aggregator": "median"},
            ),
            Execution(),
        )
        state = initial_state(world)
        before = state.weights
        next(rounds(world, state, []))
    assert (views["own-updates"].others, views["own-updates"].simulate) == (None, None)
    assert views["all-updates"].others is not None
    assert views["all-updates"].simulate is None
    assert torch.equal(before + moved[0], state.weights), (
        "the defence has no randomness: it did what was tried"
    )


def test_a_threat_model_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="threat_model = 'oracle'; valid: own-updates, all-updates"):
        run(adversaries={"count": 1}, attack=lambda info: Attack(threat_model="oracle"))


# --- selection, start weights ------------------------------------------------------------------------


def test_a_selection_rule_sees_sizes_and_losses_and_decides_the_cohort() -> None:
    seen: list[SelectionView] = []

    def largest(view: SelectionView, rng: Any) -> Sequence[int]:
        seen.append(view)
        losses = view.losses(range(view.num_clients))
        assert losses.shape == (6,)
        assert np.isfinite(losses[view.num_examples > 0]).all()
        found: list[int] = np.argsort(-view.num_examples)[: view.size].tolist()
        return found

    world = build_world(experiment(clients={"count": 6, "fraction": 0.5, "selection": largest}), Execution())
    record = next(rounds(world, initial_state(world), []))
    assert record.cohort == sorted(np.argsort(-world.num_examples)[:3].tolist())
    assert seen[0].size == 3


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([0, 0], "client 0 more than once"),
        ([6], "0 to 5"),
        ([], "at least one"),
        ([0.5], "expected at least one client id"),
    ],
)
def test_a_cohort_that_is_none_is_refused(chosen: list[Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(clients={"count": 6, "selection": lambda view, rng: chosen})


def test_power_of_choice_takes_the_clients_with_the_highest_loss() -> None:
    rule = {"name": "power-of-choice", "candidates": 6}
    world = build_world(experiment(clients={"count": 6, "fraction": 0.34, "selection": rule}), Execution())
    state, found = initial_state(world), []

    def spy(view: SelectionView, rng: Any) -> Any:
        losses = view.losses(range(6))
        found.append(sorted(np.argsort(-losses, kind="stable")[: view.size].tolist()))
        return [0]

    one = next(rounds(world, state, []))
    spied = build_world(experiment(clients={"count": 6, "fraction": 0.34, "selection": spy}), Execution())
    next(rounds(spied, initial_state(spied), []))
    assert one.cohort == found[0]


@pytest.mark.parametrize("shared", [False, True])
def test_power_of_choice_over_all_clients_is_a_cohort_of_all_that_have_data(shared: bool) -> None:
    rule = {"name": "power-of-choice", "candidates": 20}
    split: dict[str, Any] = {"name": "dirichlet", "alpha": 0.01}
    changes: dict[str, Any] = {"clients": {"count": 20, "selection": rule}, "adversaries": {"count": 2}}
    changes["split"] = {"name": "data-sharing", "of": split} if shared else split
    world = build_world(experiment(**changes), Execution())
    held = [k for k, shard in enumerate(world.population.spread.shards) if len(shard)]
    assert (len(held) == 20) is shared, "a client that the split gives nothing has the shared images"
    record = next(rounds(world, initial_state(world), []))
    assert (record.cohort, record.empty) == (held, [])


def test_clients_start_from_the_weights_they_are_given_and_send_what_changed() -> None:
    deltas: dict[int, Tensor] = {}

    def pinned(gradient: Tensor, view: LocalView) -> None:
        gradient.zero_()

    def still() -> LocalObjective:
        return LocalObjective(add=pinned)

    def elsewhere() -> StartWeights:
        def apply(view: StartView, state: State, rng: Any) -> tuple[Tensor, State]:
            rows = view.global_weights.repeat(len(view.client_ids), 1)
            return rows + torch.arange(len(rows))[:, None], state

        return StartWeights(apply)

    def aggregator(updates: ClientUpdates, view: ServerView) -> Tensor:
        deltas[view.round] = updates.deltas.clone()
        return updates.deltas.mean(dim=0)

    run(
        rounds=1,
        clients={"count": 6, "start": fedskew.facts(factory=True)(elsewhere)},
        training={"epochs": 1, "objective": still, "optimizer": "sgd"},
        defence={"aggregator": aggregator},
    )
    assert not deltas[1].any(), "nothing was learnt, wherever a client started"


def test_stale_clients_start_from_older_global_weights() -> None:
    fresh, late = run(rounds=3), run(rounds=3, clients={"count": 6, "start": {"name": "stale", "delay": 2}})
    assert fresh[0][0] == late[0][0], "in round 1 there are no older weights"
    assert fresh[0][2] != late[0][2]


# --- the server --------------------------------------------------------------------------------------


def test_a_server_step_stands_between_aggregator_and_learning_rate() -> None:
    given: list[Tensor] = []

    def doubling() -> ServerStep:
        def apply(delta: Tensor, state: State) -> tuple[Tensor, State]:
            given.append(delta.clone())
            count = state.get("count", torch.zeros(())) + 1
            return 2 * delta, {"count": count}

        return ServerStep(apply)

    step = fedskew.facts(factory=True)(doubling)
    world = build_world(experiment(server={"learning_rate": 0.5, "step": step}), Execution())
    state = initial_state(world)
    before = state.weights
    next(rounds(world, state, []))
    assert torch.equal(state.weights, before + 0.5 * (2 * given[0]))
    assert float(state.rules["server-step/0"]["count"]) == 1
    plain = run(rounds=1)
    assert torch.allclose(plain[1], state.weights, atol=1e-7), "twice as far with half the rate"


def test_an_aggregator_gets_a_generator_the_number_of_clients_and_its_own_data() -> None:
    views: list[ServerView] = []

    def rooted() -> Aggregator:
        def apply(
            updates: ClientUpdates, view: ServerView, state: State
        ) -> tuple[Tensor, AggregationTrace, State]:
            views.append(view)
            state = {"draw": torch.tensor(view.rng.random())}
            assert view.root_update is not None
            return view.root_update, AggregationTrace(), state

        return Aggregator(apply, server_data=50)

    rule = fedskew.facts(factory=True)(rooted)
    world = build_world(
        experiment(clients={"count": 6, "fraction": 0.5}, defence={"aggregator": rule}), Execution()
    )
    where = world.population.spread
    assert len(where.root) == 50
    assert sum(map(len, where.shards)) + 50 == len(world.dataset.y_train)
    assert not set(where.root) & set(np.concatenate(where.shards))
    state, draws = initial_state(world), []
    for record in rounds(world, state, []):
        draws.append(float(state.rules["aggregator/0"]["draw"]))
        assert len(record.cohort) == 3, "the server is not one of the clients"
    assert {view.num_clients for view in views} == {6}
    assert len(set(draws)) == len(draws)


def test_a_rule_may_say_whom_it_kept_and_evaluation_knows_who_that_was() -> None:
    def first_two(updates: ClientUpdates, view: ServerView) -> tuple[Tensor, AggregationTrace]:
        weights = torch.zeros(len(updates.deltas))
        weights[:2] = 0.5
        return weights @ updates.deltas, AggregationTrace(client_weights=weights)

    world = build_world(
        experiment(adversaries={"count": 1}, attack=counting, defence={"aggregator": first_two}), Execution()
    )
    record = next(rounds(world, initial_state(world), []))
    (bad,) = world.population.spread.malicious
    assert record.client_weights == {k: 0.5 if k < 2 else 0.0 for k in range(6)}
    caught = bad >= 2
    assert record.metrics["detection_true_positive_rate"] == float(caught)
    assert record.metrics["detection_false_positive_rate"] == (3 if caught else 4) / 5
    assert record.metrics["weight_malicious"] == (0.0 if caught else 0.5)


def test_a_transform_may_return_fewer_rows() -> None:
    seen: list[ClientUpdates] = []

    def aggregator(updates: ClientUpdates, view: ServerView) -> tuple[Tensor, AggregationTrace]:
        seen.append(updates)
        return updates.deltas.mean(dim=0), AggregationTrace(client_weights=torch.ones(len(updates.deltas)))

    defence = {"aggregator": aggregator, "transforms": [{"name": "bucketing", "size": 2}]}
    records, _ = run(rounds=1, defence=defence)
    world = build_world(experiment(), Execution())
    assert seen[0].deltas.shape[0] == 3
    assert seen[0].client_ids.tolist() == [-1, -1, -1]
    assert int(seen[0].num_examples.sum()) == int(world.num_examples.sum())
    assert records[0].client_weights == {}, "a bucket is nobody's"


def test_updates_carry_steps_losses_and_uploads() -> None:
    seen: list[ClientUpdates] = []

    def objective() -> LocalObjective:
        return LocalObjective(
            init=lambda parameters: {"rounds": torch.zeros(())},
            finish=lambda result: (
                {"rounds": result.kept["rounds"] + 1},
                {"twice": 2 * result.delta, "rounds": result.kept["rounds"]},
            ),
            server_init=lambda: {"sum": torch.zeros(())},
            send=lambda state: {"sum": state["sum"]},
            collect=lambda state, uploads, clients: {"sum": state["sum"] + uploads["rounds"].sum() + clients},
        )

    def aggregator(updates: ClientUpdates, view: ServerView) -> Tensor:
        seen.append(updates)
        return updates.deltas.mean(dim=0)

    world = build_world(
        experiment(
            training={"epochs": 2, "batch_size": 64, "objective": objective},
            defence={"aggregator": aggregator},
            rounds=3,
        ),
        Execution(),
    )
    state = initial_state(world)
    for _ in rounds(world, state, []):
        pass
    assert seen[0].steps is not None
    assert seen[0].steps.tolist() == [2 * -(-n // 64) for n in world.num_examples.tolist()]
    assert torch.equal(seen[2].uploads["twice"], 2 * seen[2].deltas)
    assert seen[2].uploads["rounds"].tolist() == [2.0] * 6, "what each client kept from its last round"
    assert float(state.rules["objective/0"]["sum"]) == (0 + 1 + 2) * 6 + 3 * 6


@pytest.mark.parametrize(
    ("defence", "name"),
    [
        ({"aggregator": lambda updates, view: updates.deltas.mul_(2).mean(dim=0)}, "aggregator"),
        ({"learning_rate": lambda updates, lr: updates.deltas.zero_().sum() + lr}, "learning-rate"),
        (
            {"transforms": [lambda updates, view, rng: updates.with_deltas(updates.deltas.abs_())]},
            "transform",
        ),
        (
            {"aggregator": lambda updates, view: updates.deltas.numpy().sort(axis=0) or updates.deltas[0]},
            "aggregator",
        ),
        ({"aggregator": lambda updates, view: view.global_weights.mul_(0)}, "aggregator"),
    ],
    ids=["aggregator", "learning rate", "transform", "behind PyTorch's back", "the weights"],
)
def test_a_rule_that_changes_what_it_was_given_is_refused_by_its_name(
    defence: dict[str, Any], name: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{name} '.*lambda.*'.*chang"):
        run(rounds=1, defence=defence)


# --- held-out data, client metrics, observers --------------------------------------------------------


def test_clients_hold_out_a_share_of_their_data_class_by_class() -> None:
    def worst_tenth(evaluation: ClientEvaluation) -> Mapping[str, float]:
        return {"worst_tenth": float(evaluation.accuracies().quantile(0.1))}

    settings = {"every": 2, "client_metrics": [worst_tenth]}
    changes = {"clients": {"count": 6, "held_out": 0.25}, "evaluation": settings}
    world = build_world(experiment(rounds=3, adversaries={"count": 1}, **changes), Execution())
    where, labels = world.population.spread, world.dataset.y_train.numpy()
    whole = build_world(experiment(adversaries={"count": 1}), Execution()).population.spread
    for kept, held, before in zip(where.shards, where.held_out, whole.shards, strict=True):
        assert np.array_equal(np.sort(np.concatenate([kept, held])), before)
        assert len(held) == len(before) // 4
        classes = np.bincount(labels[before], minlength=10)
        assert (np.abs(np.bincount(labels[held], minlength=10) - classes / 4) < 1).all()
    records = list(rounds(world, initial_state(world), []))
    names = {"held_out_accuracy_mean", "held_out_accuracy_std", "held_out_accuracy_worst", "worst_tenth"}
    names |= {"held_out_accuracy_worst_tenth", "held_out_accuracy_jain"}
    assert [names <= record.metrics.keys() for record in records] == [False, True, True], "and in the last"
    last = records[-1].metrics
    assert last["held_out_accuracy_worst"] <= last["worst_tenth"] <= last["held_out_accuracy_mean"]


@pytest.mark.parametrize("seat", ["server", "aggregate", "client", "outsider"])
def test_an_observer_sees_what_its_seat_sees(seat: Any) -> None:
    seen: list[Observation] = []

    def watching() -> Observer:
        def observe(observation: Observation) -> dict[str, float]:
            seen.append(observation)
            observation.weights.zero_()  # its own copy
            if observation.updates is not None:
                observation.updates.deltas.zero_()
            return {f"observed_{seat}": float(observation.round)}

        return Observer(seat, observe)

    found = run(rounds=3, evaluation={"observers": [watching]}, adversaries={"count": 1})
    plain = run(rounds=3, adversaries={"count": 1})
    assert torch.equal(found[1], plain[1]), "it changes nothing"
    expected = [3] if seat == "outsider" else [1, 2, 3]
    assert [o.round for o in seen] == expected
    assert [o.last for o in seen] == [number == 3 for number in expected]
    assert all((o.updates is not None) == (seat == "server") for o in seen)
    assert all((o.delta is not None) == (seat in ("server", "aggregate")) for o in seen)
    assert found[0][-1].metrics[f"observed_{seat}"] == 3


def test_a_server_step_may_see_the_round() -> None:
    """Of 6 clients, one of whom is rejected in the second round; what it draws and is given is its own."""
    seen: list[tuple[int, int, int]] = []

    def watching(*, meddle: bool = False) -> ServerStep:
        def apply(delta: Tensor, view: ServerView, state: State) -> tuple[Tensor, State]:
            seen.append((view.round, view.num_updates, view.num_clients))
            view.rng.random(3)
            if meddle:
                view.global_weights.zero_()
            return delta, state

        return ServerStep(apply, viewed=True)

    def attack(info: DatasetInfo) -> Attack:
        return Attack(craft=lambda deltas, view, rng: deltas / 0)

    step = fedskew.facts(factory=True)(watching)
    common = {"rounds": 2, "adversaries": {"count": 1, "start": 2}, "attack": attack}
    common["defence"] = {"transforms": [{"name": "bucketing", "size": 2}]}
    _, weights = run(**common, server={"step": step})
    assert seen == [(1, 6, 6), (2, 5, 6)]
    assert torch.equal(weights, run(**common)[1])
    with pytest.raises(ConfigError, match=r"server-step .* changed in place what it was given"):
        run(**common, server={"step": {"name": step, "meddle": True}})


# --- kept over kills ---------------------------------------------------------------------------------


def stateful() -> dict[str, Any]:
    """A run in which everything that can keep a state keeps one."""
    return {
        "rounds": 6,
        "adversaries": {"count": 1, "every": 2},
        "attack": {"name": "free-rider", "noise": 0.5},
        "clients": {
            "count": 6,
            "fraction": 0.67,
            "start": {"name": "stale", "delay": 2},
            "held_out": 0.2,
            "personal": {"name": "ditto", "strength": 0.5, "epochs": 2},
            "selection": {"name": "power-of-choice", "candidates": 5},
        },
        "training": {
            "epochs": 1,
            "batch_size": 64,
            "optimizer": {"name": "adam", "state": "persist"},
            "objective": "seam_components:counting_objective",
        },
        "defence": {
            "aggregator": "seam_components:alternating",
            "transforms": [{"name": "bucketing", "size": 2}],
        },
        "server": {"step": {"name": "yogi"}, "learning_rate": 0.05},
        "evaluation": {"every": 2, "observers": ["update-norms"]},
    }


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_that_is_broken_off_and_resumed_has_the_same_bytes(tmp_path: Path, after: int) -> None:
    fedskew.allow_plugin("seam_components")
    resumed_has_the_same_bytes(tmp_path, experiment(**stateful()), after, Execution())


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize(
    ("objective", "server"),
    [
        ("scaffold", {}),
        ({"name": "feddyn", "alpha": 0.1}, {"step": "feddyn"}),
        ({"name": "fedcurv", "strength": 0.01}, {}),
    ],
    ids=["scaffold", "feddyn", "fedcurv"],
)
def test_what_an_objective_keeps_on_both_sides_is_resumed(
    tmp_path: Path, objective: Any, server: dict[str, Any], place: Any
) -> None:
    training = {"epochs": 1, "batch_size": 64, "objective": objective}
    attack = {"adversaries": {"count": 1, "every": 2}, "attack": "sign-flip"}
    clients = {"count": 6, "fraction": 0.67}
    one = experiment(rounds=4, clients=clients, training=training, server=server, **attack)
    resumed_has_the_same_bytes(tmp_path, one, 2, Execution(client_state=place))


@pytest.mark.parametrize("objective", ["scaffold", {"name": "fedcurv", "strength": 0.01}])
def test_a_round_of_adversaries_with_an_objective_of_their_own_alone(objective: Any) -> None:
    """They upload nothing for the honest objective, so the server has nothing to collect."""
    training = {"epochs": 1, "batch_size": 64, "objective": objective}
    clients = {"count": 4, "fraction": 0.25}
    attack = {"name": "pgd", "radius": 0.1, "of": {"name": "backdoor", "target": 7}}
    one = experiment(
        rounds=6, clients=clients, training=training, adversaries={"count": 3}, attack=attack, seed=1
    )
    malicious = set(build_world(one, Execution()).population.spread.malicious)
    alone = [set(record.cohort) <= malicious for record in fedskew.simulate(one)]
    assert len({*alone}) == 2, "rounds of both kinds"


def resumed_has_the_same_bytes(tmp_path: Path, one: Experiment, after: int, execution: Execution) -> None:
    class Break:
        def on_round(self, record: RoundRecord) -> None:
            if record.round == after:
                raise BrokenPipeError

        def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
            return None

    execute(tmp_path / "whole", one, execution)
    with pytest.raises(BrokenPipeError):
        execute(tmp_path / "broken", one, execution, [Break()])
    execute(tmp_path / "broken", one, execution)
    for name in ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors", "result.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


def test_the_same_components_give_the_same_run_twice() -> None:
    fedskew.allow_plugin("seam_components")
    one = experiment(**stateful())
    assert list(simulate(one)) == list(simulate(one, execution=Execution(workers=2)))


def test_every_number_of_a_stronger_adversary_says_so(tmp_path: Path) -> None:
    one = experiment(rounds=1, adversaries={"count": 1}, attack="opt-ipm", defence={"aggregator": "median"})
    assert execute(tmp_path / "strong", one, Execution()).threat_model == "knows-the-defence"
    again = RunFolder(tmp_path / "strong").read_result()
    assert again is not None
    assert again.threat_model == "knows-the-defence"
    seeing = experiment(rounds=1, adversaries={"count": 1}, attack={"name": "ipm", "eps": 1.0})
    assert execute(tmp_path / "seeing", seeing, Execution()).threat_model == "all-updates"
    weak = experiment(rounds=1, adversaries={"count": 1}, attack="sign-flip")
    assert execute(tmp_path / "weak", weak, Execution()).threat_model == ""
    assert "threat_model" not in (tmp_path / "weak" / "result.json").read_text()
    nobody = experiment(rounds=1, attack="opt-ipm")
    assert execute(tmp_path / "nobody", nobody, Execution()).threat_model == ""


# --- what nobody may do to another -------------------------------------------------------------------


def test_trying_the_defence_does_not_change_it() -> None:
    """A rule that counts in place, and a server step with a state, are tried three times a round."""

    def counting_rule() -> Aggregator:
        def apply(
            updates: ClientUpdates, view: ServerView, state: State
        ) -> tuple[Tensor, AggregationTrace, State]:
            state["n"].add_(1)
            return updates.deltas.mean(dim=0), AggregationTrace({"n": float(state["n"])}), state

        return Aggregator(apply, init=lambda: {"n": torch.tensor(0.0)})

    def trying(info: Any) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
            assert view.simulate is not None
            for _ in range(3):
                view.simulate(deltas)
            return deltas

        return Attack(craft=craft, threat_model="knows-the-defence")

    rule = fedskew.facts(factory=True)(counting_rule)
    records, _ = run(rounds=3, adversaries={"count": 1}, attack=trying, defence={"aggregator": rule})
    assert [record.trace["n"] for record in records] == [1, 2, 3]


def test_a_trial_is_the_defence_with_the_n_k_that_would_be_reported() -> None:
    moved: dict[str, Tensor] = {}

    def weighted(updates: ClientUpdates, view: ServerView) -> Tensor:
        assert updates.losses is not None
        weights = updates.num_examples * updates.losses
        return (weights / weights.sum()).float() @ updates.deltas

    def inflating(info: Any) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Crafted:
            assert view.simulate is not None
            reported = 100 * view.num_examples
            moved["expected"] = view.simulate(3 * deltas, reported)
            return Crafted(3 * deltas, num_examples=reported)

        return Attack(craft=craft, threat_model="knows-the-defence")

    world = build_world(
        experiment(adversaries={"count": 1}, attack=inflating, defence={"aggregator": weighted}), Execution()
    )
    state = initial_state(world)
    before = state.weights
    next(rounds(world, state, []))
    assert torch.equal(state.weights, before + moved["expected"])


def test_an_attack_that_knows_the_defence_must_see_what_it_tries_it_on() -> None:
    blind = ThreatModel("blind", "own-updates", knows_defence=True)
    with pytest.raises(ConfigError, match="threat model 'blind' knows the defence but sees own-updates"):
        run(adversaries={"count": 1}, attack=lambda info: Attack(threat_model=blind))


def test_an_honest_client_that_breaks_does_not_break_the_attack() -> None:
    where = build_world(experiment(adversaries={"count": 1}), Execution()).population.spread
    bad_client = where.honest[0]

    def breaking(info: Any) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
            assert view.others is not None
            assert view.others.isfinite().all()
            assert len(view.others) == 4
            return deltas

        return Attack(craft=craft, threat_model="all-updates")

    world = build_world(experiment(adversaries={"count": 1}, attack=breaking), Execution())
    train = world.engine.train

    class Broken:
        name, workers, predict = world.engine.name, 1, world.engine.predict

        def train(self, weights: Tensor, buffers: Tensor, work: Any, states: Any) -> Any:
            found = train(weights, buffers, work, states)
            found.deltas[[job.client for job in work].index(bad_client)] = float("nan")
            return found

    world = dataclasses.replace(world, engine=Broken())
    record = next(rounds(world, initial_state(world), []))
    assert record.rejected == [bad_client]


def test_krum_sits_a_round_out_when_too_few_updates_are_left() -> None:
    def not_finite(info: Any) -> Attack:
        return Attack(craft=lambda deltas, view, rng: deltas * float("nan"))

    defence = {"aggregator": {"name": "krum", "f": 1}}
    world = build_world(
        experiment(
            clients={"count": 5},
            split="iid",
            adversaries={"count": 1, "start": 2},
            attack=not_finite,
            defence=defence,
        ),
        Execution(),
    )
    state = initial_state(world)
    loop = rounds(world, state, [])
    next(loop)
    before = state.weights
    record = next(loop)
    assert len(record.rejected) == 1
    assert torch.equal(state.weights, before)
    assert record.client_weights == {}


@pytest.mark.parametrize("part", ["num_examples", "losses", "uploads"])
def test_small_things_are_watched_as_well_as_the_matrix(part: str) -> None:
    def meddling(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
        (updates.uploads["length"] if part == "uploads" else getattr(updates, part)).fill_(1)
        return updates

    training = {"epochs": 1, "batch_size": 64, "objective": "seam_components:counting_objective"}
    fedskew.allow_plugin("seam_components")
    with pytest.raises(ConfigError, match=r"transform '.*meddling' changed in place what it was given"):
        run(rounds=1, training=training, defence={"aggregator": "mean", "transforms": [meddling]})


def test_what_a_transform_draws_is_nothing_to_the_aggregator() -> None:
    def drawing(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
        view.rng.random(7)
        return updates.with_deltas(updates.deltas.clone())

    rule = {"aggregator": {"name": "dnc", "f": 1, "dimensions": 50}}
    plain = run(rounds=2, defence=rule)
    assert torch.equal(plain[1], run(rounds=2, defence={**rule, "transforms": [drawing]})[1])


def test_nobody_trains_on_what_a_client_holds_out() -> None:
    adversaries = {"count": 2, "data": "sample", "fraction": 0.1, "exclusive": False}
    where = build_world(
        experiment(clients={"count": 6, "held_out": 0.2}, adversaries=adversaries), Execution()
    ).population.spread
    assert not set(np.concatenate(where.held_out)) & set(np.concatenate(where.shards))


def test_rules_never_see_what_is_measured_after_them() -> None:
    seen: list[set[str]] = []

    def stop(history: Sequence[RoundRecord]) -> fedskew.Verdict:
        seen.extend(set(record.metrics) for record in history)
        return fedskew.Verdict(len(history) == 3, "three")

    def watching() -> Observer:
        return Observer("server", lambda observation: {"observed": 1.0})

    changes = {
        "clients": {"count": 6, "held_out": 0.2},
        "evaluation": {"every": 2, "observers": [watching]},
        "stopping": stop,
    }
    records, _ = run(**changes)
    assert not any(name.startswith(("held_out_", "observed")) for names in seen for name in names)
    assert ["observed" in record.late for record in records] == [True] * 3
    assert ["held_out_accuracy_mean" in record.late for record in records] == [False, True, True]


def test_a_callback_that_changes_its_record_changes_no_result(tmp_path: Path) -> None:
    class Meddler:
        def on_round(self, record: RoundRecord) -> None:
            record.metrics["accuracy"] = 0.99

        def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
            records[-1].metrics["accuracy"] = 0.99

    one = experiment(rounds=2)
    plain = execute(tmp_path / "plain", one, Execution())
    found = execute(tmp_path / "meddled", one, Execution(), [Meddler()])
    assert found.last.metrics == plain.last.metrics


def test_a_transform_or_an_aggregator_that_returns_too_little_is_refused_by_its_name() -> None:
    def forgetful() -> UpdateTransform:
        return UpdateTransform(lambda updates, view, state, rng: None)  # type: ignore[arg-type,return-value]

    def triple(updates: ClientUpdates, view: ServerView) -> Any:
        return updates.deltas[0], AggregationTrace(), 1.0

    factory = fedskew.facts(factory=True)(forgetful)
    with pytest.raises(
        ConfigError, match=r"transform '.*forgetful' must return \(updates, state\), not None"
    ):
        run(rounds=1, defence={"aggregator": "mean", "transforms": [factory]})
    with pytest.raises(ConfigError, match=r"aggregator '.*triple' must return \(delta, trace, state\)"):
        run(rounds=1, defence={"aggregator": triple})


@pytest.mark.parametrize("name", ["accuracy", "update_norm_honest", "detection_true_positive_rate"])
def test_a_metric_cannot_take_the_name_of_a_standard_one_even_where_that_is_measured_later(name: str) -> None:
    with pytest.raises(ConfigError, match=f"returned '{name}', which is the name of another metric"):
        run(rounds=1, evaluation={"metrics": [lambda evaluation: {name: 42.0}]})
