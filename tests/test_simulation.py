"""The round loop: one round against a plain loop, limiting cases, what a run depends on and what it does not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedskew
from fedskew.config import Execution, Experiment
from fedskew.errors import RunError
from fedskew.federation.state import initial_state
from fedskew.federation.world import World
from fedskew.models.build import fresh
from fedskew.portable import row_mean
from fedskew.protocols import (
    AdversaryView,
    AggregationTrace,
    Attack,
    ClientUpdates,
    LocalObjective,
    ServerView,
)
from fedskew.simulation import rounds, simulate
from fedskew.training.arithmetic import flatten
from fedskew.training.plan import plan
from helpers import build_world
from helpers import uniform_cohort as cohort
from plain_loop import plain_loop
from tolerance import EXACT, Expected, Rounding, expect, longest_sum, within

BASE: dict[str, Any] = {
    "rounds": 3,
    "stopping": "rounds",
    "clients": {"count": 5},
    "split": {"name": "dirichlet", "alpha": 1.0},
    "training": {"batch_size": 32, "optimizer": {"name": "adam", "state": "persist"}},
}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({**BASE, **changes})


def records(one: Experiment, **execution: Any) -> list[fedskew.RoundRecord]:
    return list(simulate(one, execution=Execution(**execution)))


def final_weights(one: Experiment, **execution: Any) -> Tensor:
    world = build_world(one, Execution(**execution))
    state = initial_state(world)
    for _ in rounds(world, state, []):
        pass
    return state.weights


def plain_round(world: World, rounding: Rounding = EXACT) -> tuple[Tensor, Tensor]:
    """Round 1 by modules, optimisers and two loops: deltas float64 [clients, P], and n_k."""
    one, shards = world.experiment, world.population.shards
    work = plan(one.seed, 1, range(one.clients.count), shards, one.training)
    data = (world.dataset.info, world.population.images, world.population.labels)
    found = plain_loop(world.module, *data, [work], torch.optim.Adam, rounding)
    rows = torch.cat([block.flatten() for block in found]).view(len(work), -1)
    return rows[:, : world.layout.total], torch.tensor([float(job.num_examples) for job in work])


def expect_round(world: World, result: Callable[[Tensor, Tensor], list[Tensor]]) -> Expected:
    """What follows from a plain round's deltas and n_k."""
    terms = longest_sum(world.module, world.dataset.info.image_shape, world.experiment.training.batch_size)
    return expect(lambda rounding: result(*plain_round(world, rounding)), terms)


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ["torch", "native"])
@pytest.mark.parametrize("aggregator", ["fedavg", "mean", "median"])
def test_one_round_agrees_with_a_plain_adam_loop(aggregator: str, engine: str) -> None:
    one = experiment(rounds=1, defence={"aggregator": aggregator}, server={"learning_rate": 0.5})
    world = build_world(one, Execution())
    rules: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "fedavg": lambda deltas, sizes: (sizes[:, None] * deltas).sum(0) / sizes.sum(),
        "mean": lambda deltas, sizes: deltas.sum(0) / 5,
        "median": lambda deltas, sizes: deltas.sort(0).values[2],
    }
    want = expect_round(world, lambda *local: [0.5 * rules[aggregator](*local)])
    assert want.allowed[0] < 0.01 * want.blocks[0].norm()
    assert want.excess([final_weights(one, engine=engine) - world.initial_weights]) < 1


@pytest.mark.numerical
def test_one_round_of_rlr_by_hand() -> None:
    one = experiment(rounds=1, defence={"learning_rate": {"name": "rlr", "theta": 3}})
    world = build_world(one, Execution(engine="torch"))
    want = expect_round(
        world, lambda deltas, sizes: [*deltas, (sizes[:, None] * deltas).sum(0) / sizes.sum()]
    )
    *deltas, mean = want.blocks
    agreement = torch.stack(deltas).sign().sum(0).abs()
    expected = torch.where(agreement >= 3, 1.0, -1.0) * mean
    # Rounding can turn the sign of a delta that is no longer than what it may change of all of them.
    sure = torch.stack([d.abs() > size for d, size in zip(deltas, want.allowed, strict=False)]).all(0)
    assert sure.float().mean() > 0.5
    assert (agreement[sure] < 3).any()
    found = final_weights(one, engine="torch") - world.initial_weights
    assert (found - expected)[sure].norm() < want.allowed[-1]


BACKDOOR = {"name": "backdoor", "target": 7, "poison_fraction": 0.5}


def trained(objective: Any) -> dict[str, Any]:
    """The base experiment's training with an objective."""
    return {"training": {**BASE["training"], "objective": objective}}


@pytest.mark.numerical
@pytest.mark.parametrize(
    "changes",
    [
        {"adversaries": {"count": 2}},
        {"adversaries": {"count": 2}, "attack": {**BACKDOOR, "poison_fraction": 0.0}},
        {"defence": {"learning_rate": {"name": "rlr", "theta": 0}}},
        trained({"name": "fedsam", "rho": 0}),
        trained({"name": "fedlc", "tau": 0}),
        trained({"name": "fedrs", "alpha": 1}),
        trained({"name": "logit-adjustment", "tau": 0}),
        {"defence": {"transforms": [{"name": "clip", "norm": 1e9}, {"name": "noise", "std": 0}]}},
    ],
    ids=[
        "null attack",
        "nothing poisoned",
        "theta 0",
        "rho 0",
        "tau 0",
        "alpha 1",
        "no adjustment",
        "loose transforms",
    ],
)
def test_limiting_cases_are_the_benign_run(changes: dict[str, Any]) -> None:
    assert torch.equal(final_weights(experiment()), final_weights(experiment(**changes)))


def test_a_run_is_a_pure_function_of_its_config() -> None:
    one = experiment(adversaries={"count": 1}, attack=BACKDOOR, clients={"count": 5, "fraction": 0.6})
    first = records(one)
    torch.rand(3)
    assert records(one, workers=2) == first
    assert records(one.model_copy(update={"seed": 1})) != first


def test_comparisons_are_paired() -> None:
    clean = build_world(experiment(), Execution())
    attacked = build_world(experiment(adversaries={"count": 1}, attack=BACKDOOR), Execution())
    defended = build_world(experiment(defence={"aggregator": "median"}), Execution())
    for other in (attacked, defended):
        assert torch.equal(clean.initial_weights, other.initial_weights)
        for mine, theirs in zip(clean.population.spread.shards, other.population.spread.shards, strict=True):
            assert (mine == theirs).all()


@pytest.mark.numerical
def test_clients_without_data_are_reported_and_weigh_nothing() -> None:
    one = experiment(
        rounds=1,
        clients={"count": 40},
        split={"name": "dirichlet", "alpha": 0.005},
        defence={"aggregator": "mean"},
    )
    world = build_world(one, Execution())
    state = initial_state(world)
    [record] = list(rounds(world, state, []))
    empty = [k for k, shard in enumerate(world.population.shards) if not len(shard)]
    assert record.empty == empty != []
    assert record.cohort == list(range(40))
    locals_ = [(d, n) for d, n in plain_round_of(world, [k for k in range(40) if k not in empty])]
    terms = [world.initial_weights, *(delta / len(locals_) for delta, _ in locals_)]
    assert within(state.weights, terms, extra=2)


def plain_round_of(world: World, clients: list[int]) -> Iterator[tuple[Tensor, int]]:
    one = world.experiment
    work = plan(one.seed, 1, clients, world.population.shards, one.training)
    result = world.engine.train(world.initial_weights, world.initial_buffers, work, {})
    yield from zip(result.deltas, [w.num_examples for w in work], strict=True)


def broken_update(info: fedskew.DatasetInfo) -> Attack:
    """Adversaries that send NaN in their first entry, every second round infinity."""

    def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
        assert view.others is None  # the declared threat model sees its own updates only
        deltas = deltas.clone()
        deltas[:, 0] = math.nan if view.round % 2 else math.inf
        return deltas

    return Attack(craft=craft)


def test_an_update_that_is_not_finite_is_rejected_and_counted() -> None:
    one = experiment(adversaries={"count": 2}, attack={"name": broken_update})
    world = build_world(one, Execution())
    state = initial_state(world)
    for record in rounds(world, state, []):
        assert record.rejected == list(world.population.spread.malicious)
        assert state.weights.isfinite().all()
        assert "update_norm_malicious" not in record.metrics
    assert set(state.clients) == set(world.population.spread.honest)


def omniscient(info: fedskew.DatasetInfo) -> Attack:
    """Sends the negative mean of the honest updates, which the threat model lets it see."""

    def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
        assert view.others is not None
        return -view.others.mean(0).expand_as(deltas)

    return Attack(craft=craft, threat_model="all-updates")


@pytest.mark.numerical
def test_crafted_updates_are_what_the_server_gets() -> None:
    one = experiment(
        adversaries={"count": 1}, attack={"name": omniscient}, defence={"aggregator": "mean"}, rounds=1
    )
    world = build_world(one, Execution())
    state = initial_state(world)
    [record] = list(rounds(world, state, []))
    honest = list(world.population.spread.honest)
    # Four honest updates and minus their mean, a fifth of each.
    terms = [world.initial_weights, *((1 - 1 / 4) / 5 * delta for delta, _ in plain_round_of(world, honest))]
    assert within(state.weights, terms, extra=8)
    assert record.metrics["cosine_honest_malicious"] < 0


@pytest.mark.parametrize("aggregator", ["mean", {"name": "fltrust", "images": 40}])
def test_an_objective_is_asked_for_the_logits_of_what_each_client_trains_on(aggregator: Any) -> None:
    """Of an adversary, its poisoned labels, in the rounds in which it acts; of the server, its own images."""
    asked: list[list[int]] = []

    def objective() -> LocalObjective:
        def logits(counts: Tensor) -> Tensor:
            asked.append(counts.tolist())
            return torch.stack([torch.ones(len(counts)), torch.zeros(len(counts))])

        return LocalObjective(logits=logits)

    one = experiment(
        adversaries={"count": 1, "start": 2},
        attack={**BACKDOOR, "poison_fraction": 1.0},
        **trained({"name": objective}),
        defence={"aggregator": aggregator},
        rounds=2,
    )
    world = build_world(one, Execution())
    found = list(rounds(world, initial_state(world), []))
    plain = one.model_copy(update={"training": experiment().training})
    where, labels = world.population.spread, world.dataset.y_train
    (bad,) = where.malicious
    expected = []
    without: list[Any] = [*where.shards[:bad], [], *where.shards[bad + 1 :]]
    for shards in (where.shards, without):
        counts = [torch.bincount(labels[shard], minlength=10).tolist() for shard in shards]
        if not len(shards[bad]):
            counts[bad] = [0] * 7 + [len(where.shards[bad])] + [0] * 2
        expected += counts
        if len(where.root):
            expected.append(torch.bincount(labels[where.root], minlength=10).tolist())
    assert asked == expected
    assert found == records(plain), "a map that changes nothing"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            torch.ones(2, 3),
            r"logits returned the scales and offsets = float32 \[2, 3\]; expected float32 \[2, 10\]",
        ),
        (
            torch.full((2, 10), torch.inf),
            "logits returned the scales and offsets with entries that are not finite",
        ),
    ],
)
def test_wrong_scales_and_offsets_are_refused(made: Tensor, words: str) -> None:
    objective = LocalObjective(logits=lambda counts: made)
    with pytest.raises(fedskew.FedskewError, match=words):
        records(experiment(**trained({"name": lambda: objective})))


def test_a_rule_that_makes_the_model_infinite_is_an_error() -> None:
    def explode(updates: ClientUpdates, view: ServerView) -> Tensor:
        return updates.deltas[0] * math.inf

    with pytest.raises(RunError, match="not finite after round 1"):
        records(experiment(defence={"aggregator": {"name": explode}}))


def test_a_rule_of_ones_own_sees_no_more_than_the_server_and_may_leave_a_trace() -> None:
    seen: list[set[str]] = []

    def nosy(updates: ClientUpdates, view: ServerView) -> tuple[Tensor, AggregationTrace]:
        seen.append({field.name for part in (updates, view) for field in dataclasses.fields(part)})
        return updates.deltas.mean(0), AggregationTrace({"clients": float(len(updates.client_ids))})

    found = records(experiment(defence={"aggregator": {"name": nosy}}))
    updates = {"deltas", "num_examples", "client_ids", "steps", "losses", "uploads", "start_losses"}
    server = {"round", "global_weights", "layout", "num_clients", "rng", "root_update", "num_updates"}
    assert seen[0] == updates | server, "no word of who is malicious"
    assert [r.trace["clients"] for r in found] == [5.0, 5.0, 5.0]


def test_a_stateful_rule_keeps_its_state() -> None:
    def momentum(*, beta: float = 0.5) -> fedskew.Aggregator:
        def apply(updates: ClientUpdates, view: ServerView, state: Any) -> Any:
            state = {"v": beta * state.get("v", torch.zeros(())) + row_mean(updates.deltas)}
            return state["v"], AggregationTrace(), state

        return fedskew.Aggregator(apply)

    plain = final_weights(experiment(defence={"aggregator": "mean"}, rounds=1))
    assert torch.equal(plain, final_weights(experiment(defence={"aggregator": {"name": momentum}}, rounds=1)))
    plain = final_weights(experiment(defence={"aggregator": "mean"}))
    assert not torch.equal(plain, final_weights(experiment(defence={"aggregator": {"name": momentum}})))
    zero = {"name": momentum, "beta": 0.0}
    assert torch.equal(plain, final_weights(experiment(defence={"aggregator": zero})))


def test_the_cohort_is_the_fraction_and_changes_from_round_to_round() -> None:
    one = experiment(clients={"count": 10, "fraction": 0.3})
    found = records(one)
    assert [r.cohort for r in found] == [cohort(one, n).tolist() for n in (1, 2, 3)]
    assert all(len(r.cohort) == 3 for r in found)
    assert len({tuple(r.cohort) for r in found}) > 1


def test_it_stops_by_the_rule_and_at_the_limit() -> None:
    def twice(history: Any) -> fedskew.Verdict:
        return fedskew.Verdict(len(history) == 2, "two are enough")

    world = build_world(experiment(stopping={"name": twice}, rounds=9), Execution())
    state = initial_state(world)
    assert len(list(rounds(world, state, []))) == 2
    assert state.finished == "two are enough"
    assert len(records(experiment(rounds=4))) == 4


def test_validation_images_are_nobodys() -> None:
    one = experiment(data={"name": "digits", "validation": 0.1}, rounds=1)
    world = build_world(one, Execution())
    held_out = set(world.population.spread.validation.tolist())
    assert len(held_out) == round(0.1 * 1437)
    assert not held_out & {i for shard in world.population.shards for i in shard.tolist()}
    [record] = list(simulate(one))
    assert 0 < record.metrics["validation_loss"] < 10
    with pytest.raises(
        fedskew.FedskewError, match="stopping looks at validation_loss, which is not measured"
    ):
        records(experiment(stopping={"name": "plateau", "monitor": "validation_loss"}))


def test_the_trigger_is_shown_to_validation_images_too() -> None:
    attacked = {"adversaries": {"count": 1}, "attack": {"name": "backdoor", "target": 7}}
    one = experiment(data={"name": "digits", "validation": 0.1}, rounds=2, **attacked)
    world = build_world(one, Execution())
    state = initial_state(world)
    *_, last = rounds(world, state, [])
    held_out = torch.from_numpy(world.population.spread.validation)
    images, labels = world.dataset.x_train[held_out], world.dataset.y_train[held_out]
    assert world.attack.trigger is not None
    shown = world.engine.predict(state.weights, state.buffers, world.attack.trigger.apply(images), labels)
    turned = (shown.classes == 7)[labels != 7].double().mean()
    assert last.metrics["validation_attack_success_rate"] == float(turned)
    [clean] = list(simulate(experiment(rounds=1, **attacked)))
    assert "validation_attack_success_rate" not in clean.metrics


def test_ones_own_data_model_and_metric_from_python() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = (labels.view(-1, 1, 1, 1) * 80 + torch.randint(0, 9, (60, 1, 4, 4), generator=generator)).byte()
    info = fedskew.DatasetInfo("mine", ("a", "b", "c"), (1, 4, 4), (0.3,), (0.3,))
    data = fedskew.Dataset(info, images, labels, images, labels)

    def linear(info: fedskew.DatasetInfo) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, info.num_classes))

    def triple(evaluation: fedskew.Evaluation, *, factor: float = 3.0) -> dict[str, float]:
        return {"tripled": factor * float((evaluation.clean.classes == evaluation.labels).double().mean())}

    one = experiment(
        model={"name": linear}, evaluation={"metrics": [{"name": triple, "factor": 2}]}, split="iid"
    )
    *_, last = simulate(one, dataset=data)
    assert last.metrics["tripled"] == 2 * last.metrics["accuracy"]
    assert torch.equal(
        flatten(list(fresh(linear, info, 0).parameters())),
        build_world(one, Execution(), data).initial_weights,
    )


@pytest.mark.real_data
def test_the_papers_protocol_learns_on_fashion_mnist(real_data: Path) -> None:
    from fedskew.study.grid import planned_runs
    from fedskew.study.source import as_study, find_config

    [attacked] = [
        p.experiment
        for p in planned_runs(as_study(find_config("paper-fashion-mnist")))
        if p.cell == {"alpha": 1.0, "setting": "backdoor"} and p.seed == 0
    ]
    world = build_world(attacked, Execution(real_data, download=False, workers=2))
    spread = world.population.spread
    assert len(spread.shards[spread.malicious[0]]) == 6000
    assert sum(len(spread.shards[k]) for k in spread.honest) == 54_000
    first = next(rounds(world, initial_state(world), []))
    assert 0.4 < first.metrics["accuracy"] < 0.8
    assert first.metrics["train_accuracy"] > 0.4


def test_counters_in_a_model_stay_behind_in_no_thread() -> None:
    """BatchNorm with a cumulative average uses its counter; whichever thread trains a client, it starts the same."""

    def normed(info: fedskew.DatasetInfo) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, momentum=None), nn.Linear(64, 10))

    one = experiment(model={"name": normed})
    assert records(one, workers=1) == records(one, workers=2)


def test_an_observer_and_a_metric_can_change_nothing() -> None:
    def vandal(evaluation: fedskew.Evaluation) -> dict[str, float]:
        evaluation.labels.zero_()
        return {"own": 1.0}

    patient = {"name": "plateau", "monitor": "train_loss", "patience": 2}
    one = experiment(rounds=8, stopping=patient, evaluation={"metrics": [{"name": vandal}]})
    plain = records(experiment(rounds=8, stopping=patient))
    seen = []
    for record in simulate(one):
        seen.append(record.metrics["accuracy"])
        record.metrics["train_loss"] = 1e9 * len(seen)
    assert seen == [record.metrics["accuracy"] for record in plain]


def test_a_defence_cannot_read_the_runs_seed_off_its_generator() -> None:
    entropies: list[Any] = []

    def spy(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
        entropies.append(rng.bit_generator.seed_seq.entropy)
        return updates

    records(experiment(rounds=1, seed=7, defence={"transforms": [{"name": spy}]}))
    assert entropies[0] > 2**64


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"split": {"name": lambda labels, num_clients, rng: [[0]] * num_clients}}, "exactly one client"),
    ({"split": {"name": lambda labels, num_clients, rng: [[0]]}}, "1 parts for 5 clients"),
    ({"stopping": {"name": lambda history: True}}, "must return a Verdict, not bool"),
    ({"attack": {"name": lambda info: None}}, "must return an Attack, not NoneType"),
    ({"model": {"name": lambda info: 3}}, r"must return an nn\.Module, not int"),
    (
        {"evaluation": {"metrics": [{"name": lambda evaluation: 0.5}]}},
        "must return {name: number}, not float",
    ),
    (
        {"evaluation": {"metrics": [{"name": lambda evaluation: {"accuracy": 1.0}}]}},
        "the name of another metric",
    ),
    (
        {"defence": {"aggregator": {"name": lambda updates, view: torch.zeros(1)}}},
        r"returned \[1\], not a tensor",
    ),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_a_plug_in_gives_back_is_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(fedskew.FedskewError, match=words):
        records(experiment(**changes))


def test_rlr_that_no_cohort_can_satisfy_is_refused() -> None:
    one = experiment(
        clients={"count": 10, "fraction": 0.3}, defence={"learning_rate": {"name": "rlr", "theta": 4}}
    )
    with pytest.raises(fedskew.FedskewError, match="theta = 4 needs 4 or more updates in a round"):
        records(one)
