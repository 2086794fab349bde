"""Privacy attacks on runs: cases with known answers, and what no attack may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.privacy import Leaks
from fedskew.federation.state import initial_state
from fedskew.federation.world import World, build_world
from fedskew.privacy.loss_threshold import loss_threshold
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, RoundRecord, State
from fedskew.simulation import rounds, simulate
from fedskew.testing.privacy import example_view
from helpers import execute

ATTACKS = ("loss-threshold", "delta-loss", "delta-cosine", "fed-mia", "rmia", "source-inference")


def experiment(*attacks: Any, **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "data": "digits",
            "rounds": 3,
            "clients": {"count": 4, "held_out": 0.4},
            "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}},
            "privacy": {"attacks": list(attacks), "every": 1},
            **changes,
        }
    )


def last(config: Experiment) -> RoundRecord:
    return list(simulate(config))[-1]


def world_of(config: Experiment) -> World:
    return build_world(completed(config), Execution())


MEMORISED = {
    "rounds": 15,
    "clients": {"count": 3, "held_out": 0.8},
    "model": {"name": "mlp", "hidden": [256]},
    "split": {"name": "quantity", "alpha": 100.0},
    "training": {"epochs": 20, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.01}},
    "privacy": {"attacks": ["loss-threshold", "delta-loss"], "every": 1},
}


def shuffled_labels(root: Path) -> Any:
    """Digits whose training labels are random: what a model knows of them it has memorised."""
    from fedskew.datasets import load

    data = load("digits", None, download=False)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.y_train)))
    return type(data)(data.info, data.x_train, data.y_train[order], data.x_test, data.y_test)


def test_a_model_that_memorised_gives_its_members_away() -> None:
    """Random labels cannot be learned but by heart: the AUC is near 1, also for pairs of one client and class."""
    found = last(Experiment.model_validate({"data": {"name": shuffled_labels}, **MEMORISED})).metrics
    assert found["train_accuracy"] > 0.9
    assert found["loss_threshold_auc"] > 0.9
    assert found["loss_threshold_balanced_accuracy"] > 0.8


def test_a_model_that_never_saw_the_data_gives_nothing_away() -> None:
    """The initial model: 0.5 within the interval of chance."""
    world = world_of(experiment("loss-threshold", clients={"count": 4, "held_out": 0.5}))
    leaks, state = Leaks(world), initial_state(world)
    state.round = 1
    from fedskew.federation.observation import Watch

    found = leaks.after(
        state,
        Watch(world, state.buffers),
        [RoundRecord(1, {}, [], [0, 1, 2, 3], [], [], {})],
        last=True,
        taken={},
    )
    members = int(leaks.records.truth.member.sum())
    assert members > 400
    deviation = np.sqrt((2 * members + 1) / (12 * members**2))  # of Mann-Whitney's AUC under chance
    assert abs(found["loss_threshold_auc"] - 0.5) < 4 * deviation


def test_one_client_of_a_kind_is_found_as_the_source() -> None:
    """Clients that hold one class each: every image is attributed rightly, held out or not, so nothing is memory."""
    found = last(
        experiment(
            "source-inference",
            rounds=8,
            clients={"count": 10, "held_out": 0.3},
            split={"name": "shards", "classes_per_client": 1},
        )
    ).metrics
    assert found["source_inference_source_accuracy"] > 0.9
    assert abs(found["source_inference_source_advantage"]) < 0.1


def test_attacks_change_no_bit_of_a_run(tmp_path: Path) -> None:
    with_attacks, without = experiment(*ATTACKS), experiment()
    for place, config in (("with", with_attacks), ("without", without)):
        execute(tmp_path / place, config, Execution())
    for name in ("weights.safetensors",):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    ours, theirs = list(simulate(with_attacks)), list(simulate(without))
    for mine, plain in zip(ours, theirs, strict=True):
        own = {name for name in mine.metrics if name.startswith(tuple(a.replace("-", "_") for a in ATTACKS))}
        assert {n: v for n, v in mine.metrics.items() if n not in own} == plain.metrics
        assert bool(own) == (mine.round == 3)


def test_a_run_that_goes_on_finds_what_one_that_never_stopped_finds() -> None:
    """Not every round is audited, and the last one is only looked at in passing."""
    config = experiment(*ATTACKS, rounds=5, privacy={"attacks": list(ATTACKS), "every": 2})
    whole = last(config)
    short = world_of(config.model_copy(update={"rounds": 3}))
    state = initial_state(short)
    records = list(rounds(short, state, []))
    state.finished = ""
    rest = list(rounds(world_of(config), state, records))
    assert rest[-1].metrics == whole.metrics


def test_no_attack_is_told_who_holds_what() -> None:
    """All that an attack gets is the same, whoever the records belong to: the truth is swapped, the views are not."""
    seen: list[list[bytes]] = []

    def content(view: PrivacyView, *others: Tensor | None) -> list[bytes]:
        tensors = [getattr(view, f.name) for f in fields(view)]
        return [t.numpy().tobytes() for t in [*tensors, *others] if isinstance(t, Tensor)]

    def nosy() -> PrivacyAttack:
        def observe(observation: Observation, view: PrivacyView, state: State) -> State:
            assert observation.updates is not None
            seen.append(content(view, observation.weights, observation.updates.deltas, observation.delta))
            return state

        def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
            seen.append(content(view, final))
            return Guess(view.losses(final, view.records, view.labels))

        return PrivacyAttack("server", "membership", guess, observe)

    def found(change: Callable[[Leaks], None]) -> tuple[list[list[bytes]], dict[str, float]]:
        seen.clear()
        world = world_of(experiment(nosy, rounds=1))
        record = list(rounds(world, initial_state(world), []))[-1]
        return list(seen), dict(record.metrics)

    views, _ = found(lambda leaks: None)
    world = world_of(experiment(nosy, rounds=1))
    truth = Leaks(world).records.truth
    texts = b"".join(b"".join(part) for part in views)
    for secret in (truth.member, truth.client):
        assert np.ascontiguousarray(secret).tobytes() not in texts
    # Nor does the order tell: members are spread over the records as chance spreads them.
    own = truth.member[truth.own]
    runs = int((own[1:] != own[:-1]).sum())
    assert abs(runs - len(own) / 2) < 4 * np.sqrt(len(own)) / 2


@pytest.mark.parametrize("name", ["losses", "cosines", "train"])
def test_the_tools_of_an_attacker_leave_the_model_and_the_run_alone(name: str) -> None:
    world = world_of(experiment("delta-loss"))
    leaks, state = Leaks(world), initial_state(world)
    before = state.weights.clone()
    view = leaks._view(state.buffers, "guess", "0", 1)
    images, labels = view.records[:70], view.labels[:70]
    weights = state.weights.clone()
    if name == "losses":
        first, second = (view.losses(weights, images, labels) for _ in range(2))
    elif name == "cosines":
        directions = torch.stack([torch.ones_like(weights), torch.arange(len(weights)).float()])
        first, second = (view.cosines(weights, directions, images, labels) for _ in range(2))
        assert first.shape == (2, 70)
    else:
        first, second = (view.train(weights, images, labels, 3) for _ in range(2))
        assert not torch.equal(first, view.train(weights, images, labels, 4))
    assert torch.equal(first, second)
    assert torch.equal(state.weights, before)


def test_attacks_need_held_out_images() -> None:
    with pytest.raises(ConfigError, match=r"privacy.attacks are asked about .* clients.held_out = 0"):
        last(experiment("delta-loss", clients={"count": 4}))


def test_who_never_took_part_is_not_asked_about() -> None:
    """One client of eight takes part; nothing of the others has been trained on."""
    config = experiment("loss-threshold", rounds=1, clients={"count": 8, "fraction": 0.125, "held_out": 0.4})
    world = world_of(config)
    record = list(rounds(world, initial_state(world), []))[-1]
    leaks = Leaks(world)
    assert leaks._truth([record]).asked.tolist() == record.cohort
    assert len(leaks.records.truth.asked) == 8
    assert "loss_threshold_auc" in record.metrics


def test_what_an_attack_finds_does_not_depend_on_those_beside_it() -> None:
    alone = last(experiment({"name": "rmia", "rounds": 1})).metrics
    beside = last(experiment("label-inference", {"name": "rmia", "rounds": 1})).metrics
    assert {name: beside[name] for name in alone if name.startswith("rmia")} == {
        name: value for name, value in alone.items() if name.startswith("rmia")
    }


def test_two_attacks_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"privacy.attacks\[1\]: 'fed-mia' is there twice") as error:
        last(experiment("fed-mia", {"name": "fed-mia", "measure": "loss"}))
    assert error.value.field == "privacy.attacks[1]"


def test_a_run_with_nothing_to_ask_about_is_refused_before_it_begins() -> None:
    with pytest.raises(ConfigError, match="'loss-threshold' has nothing to ask about"):
        next(iter(simulate(experiment("loss-threshold", clients={"count": 300, "held_out": 0.01}))))


@pytest.mark.parametrize(("loss", "threshold"), [(torch.inf, None), (2.0, -2.0)])
def test_losses_that_are_not_finite_give_no_threshold(loss: float, threshold: float | None) -> None:
    view = replace(example_view(0), losses=lambda weights, images, labels: torch.full((len(images),), loss))
    assert loss_threshold().guess(torch.zeros(24), view, {}).threshold == threshold
