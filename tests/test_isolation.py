"""Rule 1: what a component does to what it was given reaches no other component, or is refused by its name."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedskew
from fedskew import datasets, testing
from fedskew.components import registry
from fedskew.components.binding import FIELDS
from fedskew.components.completed import completed
from fedskew.components.seams import SEAMS
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import initial_state
from fedskew.protocols import (
    AdversaryView,
    AggregationTrace,
    Aggregator,
    Attack,
    ClientShift,
    Crafted,
    Dataset,
    Guess,
    LocalObjective,
    Observer,
    PersonalModel,
    PrivacyAttack,
    ServerStep,
    Shard,
    StartWeights,
    Trigger,
    UpdateTransform,
    Verdict,
    ViewedSplit,
)
from fedskew.runs.folder import RunFolder
from fedskew.simulation import rounds
from fedskew.testing.leaves import fingerprint
from fedskew.trackers.tracking import TrackedRun, tracking
from helpers import build_world, execute

BASE: dict[str, Any] = {
    "rounds": 2,
    "stopping": "rounds",
    "data": "digits",
    "model": {"name": "mlp", "hidden": [4]},
    "clients": {"count": 4, "held_out": 0.2},
    "split": {"name": "dirichlet", "alpha": 1.0},
    "training": {"epochs": 1, "batch_size": 64},
    "adversaries": {"count": 1},
    "attack": {"name": "backdoor", "target": 7},
    "privacy": {"every": 1},
}


def spoil(value: Any, spare: Any = None) -> None:
    """Writes into everything that can be written into, behind PyTorch's back."""
    if value is spare or isinstance(value, str):
        return
    if isinstance(value, Tensor):
        value.data.fill_(1)
    elif isinstance(value, np.ndarray):
        value.fill(1)
    elif isinstance(value, nn.Module):
        spoil(value.state_dict())
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            spoil(getattr(value, field.name), spare)
    elif isinstance(value, Mapping):
        for inside in value.values():
            spoil(inside)
        if isinstance(value, dict):
            value.clear()
    elif isinstance(value, list | tuple):
        for inside in value:
            spoil(inside)
        if isinstance(value, list):
            value.clear()


Spoiling = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes a component's function spoil what it was given once it has computed, or leaves it as it is."""


def spoiling(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def asked(*given: Any) -> Any:
        found = copy.deepcopy(call(*given))
        spoil(given)
        return found

    return asked


def harmless(call: Callable[..., Any]) -> Callable[..., Any]:
    return call


# --- a component of each kind -----------------------------------------------------------------------


def dataset(spoils: Spoiling) -> dict[str, Any]:
    return {"data": spoils(lambda root: small())}


def split(spoils: Spoiling) -> dict[str, Any]:
    return {
        "split": spoils(
            lambda labels, num_clients, rng: np.array_split(rng.permutation(len(labels)), num_clients)
        )
    }


def viewed_split(spoils: Spoiling) -> dict[str, Any]:
    def viewed() -> ViewedSplit:
        return ViewedSplit(
            spoils(lambda view, clients, rng: np.array_split(rng.permutation(len(view.labels)), clients))
        )

    return {"split": viewed}


class Net(nn.Module):
    def __init__(self, info: Any, spoils: Spoiling) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, info.num_classes))
        self.seen = spoils(lambda x: None)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.clone())
        self.seen(x)
        return logits


def model(spoils: Spoiling) -> dict[str, Any]:
    return {"model": spoils(lambda info: Net(info, spoils))}


def trigger(spoils: Spoiling) -> dict[str, Any]:
    def corner(info: Any) -> Trigger:
        mask = torch.zeros(info.image_shape[1:], dtype=torch.bool)
        mask[0, 0] = True
        return Trigger(mask, torch.full(info.image_shape, 255, dtype=info.dtype))

    name = "spoiling trigger" if spoils is spoiling else "harmless trigger"
    if not registry.is_registered("trigger", name):
        registry.register("trigger", name)(spoils(corner))
    return {"attack": {"name": "backdoor", "target": 7, "trigger": name}}


def attack(spoils: Spoiling) -> dict[str, Any]:
    def relabel(shard: Shard, rng: Any) -> Shard:
        return replace(shard, labels=(shard.labels + 1) % 10)

    def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Crafted:
        assert view.others is not None
        assert view.simulate is not None
        moved = view.simulate(-deltas)
        return Crafted(deltas - view.others.mean(0) + moved, {"times": torch.ones(1)}, view.num_examples * 2)

    def factory(info: Any) -> Attack:
        knowing = "knows-the-defence"
        state = {"times": torch.zeros(1)}
        return Attack(
            poison=spoils(relabel), craft=spoils(craft), threat_model=knowing, init=lambda: dict(state)
        )

    return {"attack": spoils(factory), "training": {"epochs": 1, "batch_size": 32, "objective": "scaffold"}}


def wrapped(spoils: Spoiling) -> dict[str, Any]:
    """An attack inside another, which looks at what both see."""
    name = "spoiling attack" if spoils is spoiling else "harmless attack"
    if not registry.is_registered("attack", name):
        registry.register("attack", name)(attack(spoils)["attack"])
    known = "knows-the-defence"
    return {
        "attack": {"name": "train-and-scale", "of": {"name": name}, "norm": "median", "threat_model": known}
    }


def shift(spoils: Spoiling) -> dict[str, Any]:
    def turned(view: Any, rng: Any) -> ClientShift:
        return ClientShift(
            spoils(lambda images, rng: 255 - images), spoils(lambda labels, rng: labels.flip(0))
        )

    return {"clients": {**BASE["clients"], "shift": spoils(turned)}}


def selection(spoils: Spoiling) -> dict[str, Any]:
    def largest(view: Any, rng: Any) -> Any:
        losses = view.losses(range(view.num_clients))
        return np.argsort(view.num_examples * losses)[-view.size :]

    return {"clients": {**BASE["clients"], "fraction": 0.6, "selection": spoils(largest)}}


def start(spoils: Spoiling) -> dict[str, Any]:
    def older() -> StartWeights:
        def apply(view: Any, state: Any, rng: Any) -> Any:
            return state.get("past", view.global_weights), {"past": view.global_weights}

        return StartWeights(spoils(apply))

    return {"clients": {**BASE["clients"], "start": older}}


def objective(spoils: Spoiling) -> dict[str, Any]:
    """Its gradient, the weights and what the client keeps are its own to change."""

    def own(call: Callable[..., Any], *written: str) -> Callable[..., Any]:
        def asked(target: Tensor, view: Any) -> Any:
            found = call(target, view)
            others = [getattr(view, name) for name in ("start", "sent") if name not in written]
            spoils(lambda *others: None)(*others)
            return found

        return asked

    def pulling() -> LocalObjective:
        return LocalObjective(
            logits=spoils(lambda counts: torch.stack([1 + counts / counts.sum(), 0 * counts / 1.0]).float()),
            look=own(lambda gradient, view: view.weights + 0.01 * gradient),
            add=own(lambda gradient, view: gradient.add_(0.01 * view.weights)),
            project=own(lambda weights, view: weights.clamp_(-1, 1)),
            init=lambda parameters: {"rounds": torch.zeros(1)},
            finish=spoils(
                lambda result: (
                    {"rounds": result.kept["rounds"] + 1},
                    {"up": result.delta * result.sent["pull"]},
                )
            ),
            server_init=lambda: {"pull": torch.tensor(0.01)},
            send=spoils(lambda state: dict(state)),
            collect=spoils(lambda state, up, clients: {"pull": state["pull"] + up["up"].abs().mean()}),
        )

    return {"training": {"epochs": 1, "batch_size": 64, "objective": pulling}}


def personal(spoils: Spoiling) -> dict[str, Any]:
    def layers() -> PersonalModel:
        def first(module: nn.Module) -> Tensor:
            sizes = [p.numel() for p in module.parameters()]
            return torch.arange(sum(sizes)) < sizes[0]

        return PersonalModel(epochs=0, own=spoils(first))

    return {"clients": {**BASE["clients"], "personal": layers}}


def transform(spoils: Spoiling) -> dict[str, Any]:
    def halves() -> UpdateTransform:
        return UpdateTransform(
            spoils(lambda updates, view, state, rng: (updates.with_deltas(updates.deltas / 2), state))
        )

    return {"defence": {"aggregator": "mean", "transforms": [halves]}}


def local_transform(spoils: Spoiling) -> dict[str, Any]:
    """One that clients do, which privacy attackers do on updates of their own too."""
    halved = fedskew.facts(sums=lambda options: True)(
        spoils(lambda updates, view, rng: updates.with_deltas(updates.deltas / 2))
    )
    return {"defence": {"aggregator": "mean", "transforms": [halved], "local_transforms": 1}}


def aggregator(spoils: Spoiling) -> dict[str, Any]:
    def mean() -> Aggregator:
        def apply(updates: Any, view: Any, state: Any) -> Any:
            weights = torch.ones(len(updates.deltas))
            return updates.deltas.mean(0), AggregationTrace(client_weights=weights), {"n": torch.ones(1)}

        return Aggregator(spoils(apply), server_data=20, start_losses=True)

    return {"defence": {"aggregator": mean}}


def learning_rate(spoils: Spoiling) -> dict[str, Any]:
    rule = spoils(lambda updates, lr: lr * updates.deltas.mean(0).sign().abs())
    return {"defence": {"aggregator": "mean", "learning_rate": rule}}


def server_step(spoils: Spoiling) -> dict[str, Any]:
    def twice() -> ServerStep:
        return ServerStep(spoils(lambda delta, view, state: (2 * delta, {"n": torch.ones(1)})), viewed=True)

    return {"server": {"step": twice}}


def lr_schedule(spoils: Spoiling) -> dict[str, Any]:
    return {"training": {**BASE["training"], "lr_schedule": spoils(lambda history: 0.9 ** len(history))}}


def stopping(spoils: Spoiling) -> dict[str, Any]:
    return {"stopping": spoils(lambda history: Verdict(False))}


def metric(spoils: Spoiling) -> dict[str, Any]:
    one = spoils(lambda evaluation: {"one": float(evaluation.clean.losses.mean())})
    two = spoils(lambda evaluation: {"two": float(evaluation.labels.double().mean())})
    return {"evaluation": {"metrics": [one, two]}}


def client_metric(spoils: Spoiling) -> dict[str, Any]:
    one = spoils(lambda evaluation: {"one": float(evaluation.accuracies().min())})
    two = spoils(lambda evaluation: {"two": float(evaluation.labels.double().mean())})
    return {"evaluation": {"client_metrics": [one, two]}}


def observer(spoils: Spoiling) -> dict[str, Any]:
    def watching(name: str) -> Callable[[], Observer]:
        def made() -> Observer:
            return Observer("server", spoils(lambda seen: {name: float(seen.updates.deltas.norm())}))

        return made

    return {"evaluation": {"observers": [watching("one"), watching("two")]}}


def privacy_attack(spoils: Spoiling) -> dict[str, Any]:
    def guessing() -> PrivacyAttack:
        def observe(seen: Any, view: Any, state: Any) -> Any:
            return {"seen": view.losses(seen.weights, view.records, view.labels)}

        def guess(weights: Tensor, view: Any, state: Any) -> Guess:
            view.train(weights, view.public[:64], view.public_labels[:64], 1)
            view.as_sent(weights, weights, 1)
            return Guess(-state["seen"])

        return PrivacyAttack("server", "membership", spoils(guess), spoils(observe))

    return {"privacy": {"every": 1, "attacks": [guessing]}}


KINDS: dict[str, tuple[Callable[[Spoiling], dict[str, Any]], ...]] = {
    "dataset": (dataset,),
    "split": (split, viewed_split),
    "model": (model,),
    "trigger": (trigger,),
    "attack": (attack, wrapped),
    "shift": (shift,),
    "selection": (selection,),
    "start": (start,),
    "objective": (objective,),
    "personal": (personal,),
    "transform": (transform, local_transform),
    "aggregator": (aggregator,),
    "learning-rate": (learning_rate,),
    "server-step": (server_step,),
    "lr-schedule": (lr_schedule,),
    "stopping": (stopping,),
    "metric": (metric,),
    "client-metric": (client_metric,),
    "observer": (observer,),
    "privacy-attack": (privacy_attack,),
}
"""All kinds but callbacks, which see a run in its folder only."""
GIVEN_NOTHING = {"dataset", "model", "trigger", "personal"}
"""By the checks for third parties, that it could write into."""
REFUSED = {transform, local_transform, aggregator, learning_rate, server_step, lr_schedule, stopping, wrapped}
"""What these get is not copied for them: a matrix of updates, for example, may fill the memory."""


def small() -> Dataset:
    """Some digits, each of one of two writers."""
    digits = datasets.load("digits")
    return Dataset(
        replace(digits.info, client_names=("a", "b")),
        digits.x_train[:300],
        digits.y_train[:300],
        digits.x_test[:100],
        digits.y_test[:100],
        clients_train=torch.arange(300) % 2,
        clients_test=torch.arange(100) % 2,
        rows_train=torch.arange(300),
        rows_test=300 + torch.arange(100),
    )


def outcome(changes: dict[str, Any]) -> dict[str, str]:
    """The bits of everything that a run gives, and of what runs have in common."""
    experiment = Experiment.model_validate({**BASE, **changes})
    data = small()
    given = fingerprint(data)
    world = build_world(experiment, Execution(engine="torch"), None if "data" in changes else data)
    state = initial_state(world)
    done = islice(rounds(world, state, []), 3)  # a spoilt history has no end
    records = [replace(record, seconds={}) for record in done]
    assert fingerprint(data) == given
    assert fingerprint(world.dataset) == given
    poisoning = world.population.poisoning
    return fingerprint([records, state.weights, state.buffers, state.rules, dict(state.clients), poisoning])


def test_the_kinds_are_those_that_there_are() -> None:
    assert {*KINDS, "callback"} == {*SEAMS}


@pytest.mark.parametrize(
    "make", [one for made in KINDS.values() for one in made], ids=lambda one: one.__name__
)
def test_what_a_component_does_to_what_it_was_given_reaches_nothing_or_is_refused(
    make: Callable[[Spoiling], dict[str, Any]],
) -> None:
    expected = outcome(make(harmless))
    if make in REFUSED:
        (kind,) = (kind for kind, made in KINDS.items() if make in made)
        with pytest.raises(ConfigError, match=rf"^{kind} '.*' ?.* changed in place what it was given"):
            outcome(make(spoiling))
    else:
        assert outcome(make(spoiling)) == expected


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in GIVEN_NOTHING])
def test_the_checks_for_third_parties_report_what_writes_into_what_it_was_given(kind: str) -> None:
    found: Any = KINDS[kind][0](spoiling)
    for part in next(path for path, held in FIELDS.items() if held == kind).split("."):
        found = found[part]
    with pytest.raises(testing.ConformanceError, match=rf"^{kind} '"):
        testing.check(kind, found[0] if isinstance(found, list) else found)


def test_what_a_tracker_does_to_what_it_was_given_reaches_nothing(tmp_path: Path) -> None:
    """Nor what it does to the process, which it may do: only its calls are put back."""

    class Tracker:
        def __init__(self, run: TrackedRun) -> None:
            spoil(run.experiment.model.model_extra)

        on_round = staticmethod(spoiling(lambda record: torch.set_default_dtype(torch.float64)))
        on_end = staticmethod(spoiling(lambda records, reason: None))

    registry._registered["callback", "spoiling"] = lambda run: Tracker(run)
    try:
        experiment, found = Experiment.model_validate({**BASE, "rounds": 1}), []
        for number, names in enumerate(([], ["spoiling"])):
            run = TrackedRun("s", tmp_path, completed(experiment))
            with tracking(names, run) as more:
                execute(tmp_path / str(number), run.experiment, Execution(engine="torch"), more)
            folder = RunFolder(tmp_path / str(number))
            found.append([folder.rounds.read_bytes(), folder.weights.read_bytes(), str(run.experiment)])
        assert found[0] == found[1]
        assert torch.get_default_dtype() == torch.float32
    finally:
        del registry._registered["callback", "spoiling"]


def test_a_model_of_tokens_gets_copies_of_them() -> None:
    tokens = torch.arange(12).view(3, 4, 1, 1) % 5
    info = fedskew.DatasetInfo("t", ("a", "b"), (4, 1, 1), (), (), values="tokens")
    data = Dataset(
        info,
        tokens.repeat(8, 1, 1, 1),
        torch.arange(24) % 2,
        tokens,
        torch.tensor([0, 1, 0]),
        rows_train=None,
    )

    class Clipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.out(self.table(x.flatten(1).clamp_(max=2)).mean(1))
            return found

    before = fingerprint(data)
    experiment = Experiment.model_validate(
        {"rounds": 1, "model": lambda info: Clipping(), "clients": {"count": 2}, "split": "iid"}
    )
    world = build_world(experiment, Execution(), data)
    list(rounds(world, initial_state(world), []))
    assert fingerprint(data) == before


def test_options_are_a_components_own_in_each_call() -> None:
    seen: list[list[int]] = []

    def eating(updates: Any, view: Any, *, numbers: Any) -> Tensor:
        seen.append(list(numbers))
        numbers.clear()
        found: Tensor = updates.deltas.mean(0)
        return found

    rule = {"name": eating, "numbers": [1, 2]}
    experiment = Experiment.model_validate({**BASE, "defence": {"aggregator": rule}})
    world = build_world(experiment, Execution())
    list(rounds(world, initial_state(world), []))
    assert seen == [[1, 2], [1, 2]]
    assert experiment.defence.aggregator.options == {"numbers": [1, 2]}
