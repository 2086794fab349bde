"""Which clients and records privacy attacks are asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.evaluation.leakage import Truth
from fedskew.federation import asked
from fedskew.federation.asked import draw_clients, matched
from fedskew.federation.observation import Watch
from fedskew.federation.privacy import Leaks
from fedskew.federation.state import initial_state
from fedskew.federation.world import World, build_world
from fedskew.privacy.delta_loss import delta_loss
from fedskew.protocols import ClientUpdates, Guess, IndexArray, PrivacyAttack, PrivacyView, RoundRecord, State
from fedskew.simulation import simulate

CLIENTS = 12
FEW = 4_000


def experiment(*attacks: Any, privacy: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "data": "digits",
            "rounds": 1,
            "clients": {"count": CLIENTS, "held_out": 0.4},
            "adversaries": {"count": 2},
            "attack": "label-flip",
            "privacy": {"attacks": list(attacks), "every": 1, **(privacy or {})},
            **changes,
        }
    )


def world_of(config: Experiment) -> World:
    return build_world(completed(config), Execution())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack keeps so few scores that not all clients can be asked about."""
    monkeypatch.setattr(asked, "MOST_SCORES", FEW)


def size(drawn: dict[int, tuple[IndexArray, IndexArray]]) -> int:
    """Scores that an attack keeps which is asked about these clients; half of the 360 test images are public."""
    members = sum(len(own) for own, _ in drawn.values())
    return len(drawn) * (2 * members + min(members, 180))


def test_all_clients_are_asked_about_as_long_as_their_scores_fit() -> None:
    drawn = draw_clients(world_of(experiment("delta-loss")))
    assert list(drawn) == list(range(CLIENTS))
    assert size(drawn) < asked.MOST_SCORES


@pytest.mark.usefixtures("few")
def test_of_more_some_are_drawn_whoever_they_are() -> None:
    world = world_of(experiment("delta-loss"))
    drawn = draw_clients(world)
    assert list(drawn) == sorted(drawn)
    assert 1 < len(drawn) < CLIENTS
    assert size(drawn) <= FEW
    assert {k for k, (own, _) in drawn.items() if not len(own)} == {*world.population.spread.malicious} & {
        *drawn
    }
    others = [list(draw_clients(world_of(experiment("delta-loss", seed=seed)))) for seed in (1, 2)]
    assert list(drawn) not in others
    assert any(
        {*draw_clients(world_of(experiment("delta-loss", seed=seed)))}
        & {*world_of(experiment("delta-loss", seed=seed)).population.spread.malicious}
        for seed in range(3)
    ), "adversaries are drawn too"


def kept(seen: list[tuple[PrivacyView, Tensor]]) -> PrivacyAttack:
    """``delta-loss``, which shows what it saw and what it said."""
    usual = delta_loss()

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        found = usual.guess(final, view, state)
        seen.append((view, found.scores))
        return found

    return PrivacyAttack("server", "membership", guess, usual.observe)


def observed() -> tuple[PrivacyView, Tensor, Truth]:
    """What ``delta-loss`` has seen and said after a round of updates that are noise, and the truth."""
    seen: list[tuple[PrivacyView, Tensor]] = []

    def asking() -> PrivacyAttack:
        return kept(seen)

    world = world_of(experiment(asking))
    leaks, state = Leaks(world), initial_state(world)
    watch = Watch(world, state.buffers)
    state.round = 1
    noise = torch.randn(CLIENTS, world.layout.total, generator=torch.Generator().manual_seed(0)) / 100
    arrived = torch.randperm(CLIENTS, generator=torch.Generator().manual_seed(1))
    watch.see(
        1, state.weights, ClientUpdates(noise[arrived], torch.ones(CLIENTS, dtype=torch.int64), arrived)
    )
    leaks.after(state, watch, [RoundRecord(1, {}, [], [*range(CLIENTS)], [], [], {})], last=True, taken={})
    return *seen[0], leaks.records.truth


def test_what_is_said_of_a_client_does_not_depend_on_how_many_are_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each drawn client's row, on its own records, is that client's row where all are asked about."""
    everyone, all_scores, whole = observed()
    monkeypatch.setattr(asked, "MOST_SCORES", FEW)
    view, scores, truth = observed()
    assert scores.shape == (len(view.asked), len(view.records))
    assert len(view.asked) < CLIENTS
    assert scores.numel() <= FEW
    assert {*np.unique(truth.client)} == {-1, *truth.asked}
    assert len(whole.asked) == CLIENTS - 2, "the adversaries hold no records"
    assert len(truth.asked) > 1
    for place in truth.asked:
        k = int(view.asked[place])
        own, theirs = truth.client == place, whole.client == k
        assert own.sum() == theirs.sum() > 0
        assert sorted(scores[place, own].tolist()) == pytest.approx(sorted(all_scores[k, theirs].tolist()))
        assert truth.mixes[place].tolist() == whole.mixes[k].tolist()
    assert everyone.asked.tolist() == list(range(CLIENTS))


@pytest.mark.usefixtures("few")
def test_every_attack_works_where_some_are_asked_about() -> None:
    """In each of two rounds, four clients of twelve take part."""
    names = ["loss-threshold", "delta-loss", "delta-cosine", "fed-mia", "source-inference"]
    attacks = [
        *names,
        {"name": "label-inference", "virtual": 4},
        {"name": "property-inference", "virtual": 5},
    ]
    planted = {"property": {"name": "inverted", "share": 0.5, "clients": 0.5}}
    config = experiment(*attacks, privacy=planted, rounds=2)
    third = config.clients.model_copy(update={"fraction": 1 / 3})
    found = list(simulate(config.model_copy(update={"clients": third})))[-1].metrics
    for metric in (
        "loss_threshold_auc",
        "delta_loss_auc",
        "delta_cosine_auc",
        "fed_mia_auc",
        "source_inference_source_advantage",
        "label_inference_label_error",
    ):
        assert np.isfinite(found[metric])


def test_members_and_held_out_images_have_the_same_classes() -> None:
    labels = np.array([0] * 6 + [1] * 6)
    inside, outside = matched(labels, np.arange(0, 8), np.arange(8, 12), 10, np.random.default_rng(0))
    assert sorted(labels[inside]) == sorted(labels[outside]) == [1, 1]  # two of class 1 were trained on
    inside, outside = matched(labels, np.arange(0, 8), np.arange(6, 12), 1, np.random.default_rng(0))
    assert len(inside) == len(outside) == 1
    assert len(matched(labels, np.arange(0, 6), np.arange(6, 12), 9, np.random.default_rng(0))[0]) == 0


@pytest.mark.usefixtures("few")
def test_scores_of_clients_that_are_not_asked_about_are_refused() -> None:
    def everybody() -> PrivacyAttack:
        def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
            return Guess(torch.zeros(view.num_clients, len(view.records)))

        return PrivacyAttack("outsider", "source", guess)

    with pytest.raises(ConfigError, match=r"expected float \[\d, \d+\], a row for each client of view.asked"):
        list(simulate(experiment(everybody)))
