"""The loss of the global model before training: who asks, what it is, and runs of the rules that weight by it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import initial_state
from fedskew.federation.world import World
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    ClientUpdates,
    IndexArray,
    Observation,
    Observer,
    Predictions,
    RoundRecord,
    ServerView,
    State,
)
from fedskew.simulation import rounds
from fedskew.training.engine import Engine
from helpers import build_world, execute

BASE: dict[str, Any] = {
    "rounds": 3,
    "clients": {"count": 6},
    "split": {"name": "dirichlet", "alpha": 0.5},
    "training": {"epochs": 1, "batch_size": 64},
}
ATTACKED: dict[str, Any] = {
    "adversaries": {"count": 2, "every": 2},
    "attack": {"name": "label-flip", "fraction": 1.0},
}
RULES: dict[str, dict[str, Any]] = {
    "q-fedavg": {"q": 0.0, "lipschitz": 2.0},
    "afl": {"gamma": 0.0},
    "term": {"t": 0.0},
}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({**BASE, **changes})


def run(execution: Execution | None = None, **changes: Any) -> tuple[list[RoundRecord], Tensor]:
    world = build_world(experiment(**changes), execution or Execution())
    state = initial_state(world)
    return list(rounds(world, state, [])), state.weights


@dataclass
class Counting:
    """An engine that counts the images that it predicts, and may get some wrong."""

    engine: Engine
    images: int = 0
    broken: int = 0

    def __post_init__(self) -> None:
        self.name, self.workers = self.engine.name, self.engine.workers

    def train(self, *arguments: Any) -> Any:
        return self.engine.train(*arguments)

    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        self.images += len(images)
        found = self.engine.predict(weights, buffers, images, labels)
        if self.broken:
            found.losses[: self.broken] = torch.inf
        return found


def counted(aggregator: Any) -> int:
    """How many images are predicted in one round."""
    world = build_world(experiment(rounds=1, defence={"aggregator": aggregator}), Execution())
    engine = Counting(world.engine)
    world = replace(world, engine=engine)
    list(rounds(world, initial_state(world), []))
    return engine.images


def test_it_is_measured_only_for_an_aggregator_that_asks() -> None:
    world = build_world(experiment(), Execution())
    test_images = len(world.dataset.y_test)
    assert counted("mean") == test_images
    assert counted({"name": "fedmgda", "epsilon": 0.1}) == test_images
    for name, options in RULES.items():
        assert counted({"name": name, **options}) == test_images + int(world.num_examples.sum())


def asks_and_keeps(seen: list[ClientUpdates]) -> Callable[[], Aggregator]:
    """A plug-in that takes the mean, asks for losses and keeps what it was given."""

    def rule() -> Aggregator:
        def apply(
            updates: ClientUpdates, view: ServerView, state: State
        ) -> tuple[Tensor, AggregationTrace, State]:
            seen.append(updates)
            return updates.deltas.mean(dim=0), AggregationTrace(), state

        return Aggregator(apply, start_losses=True)

    return rule


def loss_of(world: World, weights: Tensor, shard: IndexArray) -> float:
    """The mean cross-entropy in double precision, by PyTorch alone."""
    info, module = world.dataset.info, copy.deepcopy(world.module).double().eval()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (info.mean, info.std))
    torch.nn.utils.vector_to_parameters(weights.double(), module.parameters())
    with torch.no_grad():
        logits = module((world.population.images[shard].double() / 255 - mean) / std)
    return float(torch.nn.functional.cross_entropy(logits, world.population.labels[shard]))


@pytest.mark.parametrize("engine", ["native", "torch", "stacked", "graph"])
def test_it_is_that_of_the_global_model_on_what_each_client_trains_on(engine: Any) -> None:
    seen: list[ClientUpdates] = []
    defence = {"aggregator": asks_and_keeps(seen)}
    world = build_world(experiment(**ATTACKED, defence=defence), Execution(engine=engine))
    state = initial_state(world)
    before = [state.weights]
    before += [state.weights for _ in rounds(world, state, [])]
    for number, updates in enumerate(seen, start=1):
        poisoned = world.experiment.adversaries.act_in(number)
        shards = world.population.shards if poisoned else world.population.spread.shards
        assert updates.start_losses is not None
        assert updates.start_losses.dtype == torch.float64
        expected = [loss_of(world, before[number - 1], shards[k]) for k in updates.client_ids.tolist()]
        assert updates.start_losses.tolist() == pytest.approx(expected, rel=1e-4)
    assert len(seen) == 3


def test_it_is_measured_before_training_and_only_of_the_cohort() -> None:
    seen: list[ClientUpdates] = []
    clients = {"count": 6, "fraction": 0.5, "start": {"name": "stale", "delay": 1}}
    defence = {"aggregator": asks_and_keeps(seen)}
    records, _ = run(clients=clients, defence=defence)
    for updates, record in zip(seen, records, strict=True):
        assert updates.start_losses is not None
        assert updates.losses is not None
        assert updates.client_ids.tolist() == record.cohort
        assert len(updates.start_losses) == 3
    assert seen[0].start_losses is not None
    assert (seen[0].start_losses - np.log(10)).abs().max() < 0.5, "an untrained model knows nothing"
    assert seen[0].losses is not None
    assert (seen[0].losses < seen[0].start_losses).all()


def test_what_others_do_to_the_losses_changes_nothing_or_is_refused() -> None:
    aggregator = {"name": "term", "t": 1.0}

    def meddling(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
        assert updates.start_losses is not None
        updates.start_losses.fill_(1)
        return updates

    with pytest.raises(ConfigError, match=r"transform '.*meddling' changed in place what it was given"):
        run(rounds=1, defence={"aggregator": aggregator, "transforms": [meddling]})

    def watching() -> Observer:
        def observe(observation: Observation) -> dict[str, float]:
            assert observation.updates is not None
            assert observation.updates.start_losses is not None
            observation.updates.start_losses.zero_()  # its own copy
            return {}

        return Observer("server", observe)

    plain = run(defence={"aggregator": aggregator})
    observed = run(defence={"aggregator": aggregator}, evaluation={"observers": [watching]})
    assert torch.equal(plain[1], observed[1])


def test_a_client_whose_loss_is_not_finite_is_rejected() -> None:
    world = build_world(experiment(rounds=1, defence={"aggregator": {"name": "term", "t": 1.0}}), Execution())
    world = replace(world, engine=Counting(world.engine, broken=1))  # the first client's first image
    state = initial_state(world)
    (record,) = rounds(world, state, [])
    assert record.rejected == [0]
    assert sorted(record.client_weights) == [1, 2, 3, 4, 5]
    assert state.weights.isfinite().all()


def test_whether_it_asks_is_yes_or_no() -> None:
    def vague() -> Aggregator:
        return Aggregator(lambda updates, view, state: None, start_losses="yes")  # type: ignore[arg-type,return-value]

    with pytest.raises(ConfigError, match=r"start_losses of its Aggregator is str; expected True or False"):
        run(defence={"aggregator": vague})


# --- the rules that weight by it -------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("more", [{}, {"fraction": 0.5}], ids=["all clients", "drawn cohorts"])
def test_a_rule_that_does_not_weight_has_the_bits_of_the_mean(name: str, more: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"clients": {"count": 6, **more}, **ATTACKED}
    _, mean = run(**changes, defence={"aggregator": "mean"})
    _, found = run(**changes, defence={"aggregator": {"name": name, **RULES[name]}})
    assert torch.equal(found, mean)


WEIGHTING: list[dict[str, Any]] = [
    {"name": "q-fedavg", "q": 1.0, "lipschitz": 0.5},
    {"name": "afl", "gamma": 0.1},
    {"name": "term", "t": 1.0},
]


@pytest.mark.parametrize("aggregator", WEIGHTING, ids=lambda rule: rule["name"])
def test_adversaries_gain_weight_by_the_loss_of_their_poisoned_data(aggregator: dict[str, Any]) -> None:
    """Fairness against robustness: the model does not fit flipped labels, so they count more and more."""
    attack: dict[str, Any] = {
        "adversaries": {"count": 1},
        "attack": {"name": "label-flip"},
        "split": "iid",
        "rounds": 6,
    }
    attack |= {"training": {"epochs": 1, "batch_size": 16}}
    records, _ = run(**attack, defence={"aggregator": aggregator})
    assert records[-1].metrics["weight_malicious"] > 1.3 / 6
    robust, _ = run(**attack, defence={"aggregator": {"name": "term", "t": -1.0}})
    assert robust[-1].metrics["weight_malicious"] < 0.5 / 6


@pytest.mark.parametrize(
    "aggregator", [*WEIGHTING, {"name": "fedmgda", "epsilon": 0.1}], ids=lambda r: r["name"]
)
def test_they_compose_with_transforms_and_rates(aggregator: dict[str, Any]) -> None:
    defence = {
        "transforms": [{"name": "clip", "norm": "median"}, "fednova", {"name": "noise", "std": 1e-4}],
        "aggregator": aggregator,
    }
    for rate in ({"name": "rlr", "theta": 3}, "fedexp"):
        records, weights = run(
            **ATTACKED, defence={**defence, "learning_rate": rate}, server={"step": "adagrad"}
        )
        assert weights.isfinite().all()
        assert all(sum(record.client_weights.values()) <= 1 + 1e-9 for record in records)


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_that_is_broken_off_and_resumed_has_the_same_bytes(tmp_path: Path, after: int) -> None:
    one = experiment(
        **ATTACKED | {"rounds": 5},
        clients={"count": 6, "fraction": 0.67, "selection": {"name": "power-of-choice", "candidates": 5}},
        defence={
            "transforms": ["fednova"],
            "aggregator": {"name": "afl", "gamma": 0.1},
            "learning_rate": "fedexp",
        },
        server={"step": "adagrad", "learning_rate": 0.05},
    )

    class Break:
        def on_round(self, record: RoundRecord) -> None:
            if record.round == after:
                raise BrokenPipeError

        def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
            return None

    execute(tmp_path / "whole", one, Execution())
    with pytest.raises(BrokenPipeError):
        execute(tmp_path / "broken", one, Execution(), [Break()])
    execute(tmp_path / "broken", one, Execution())
    for name in ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors", "result.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


def test_the_number_of_threads_changes_no_bit() -> None:
    defence = {"aggregator": {"name": "q-fedavg", "q": 0.5, "lipschitz": 1.0}}
    first = run(Execution(workers=1), **ATTACKED, defence=defence)
    second = run(Execution(workers=2), **ATTACKED, defence=defence)
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
