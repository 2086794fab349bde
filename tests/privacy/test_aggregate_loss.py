"""The attack on what is left to see under secure aggregation: by hand, and in runs with known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedskew import testing
from fedskew.config import Experiment
from fedskew.datasets import load
from fedskew.privacy.aggregate_loss import aggregate_loss
from fedskew.privacy.delta_loss import delta_loss
from fedskew.protocols import ClientUpdates, Dataset, Observation
from fedskew.simulation import simulate
from fedskew.testing.privacy import example_view


def observation(number: int, delta: torch.Tensor | None, updates: ClientUpdates | None = None) -> Observation:
    weights = torch.randn(24, generator=torch.Generator().manual_seed(number))
    return Observation(number, weights, updates, delta)


def test_it_is_the_mean_over_rounds_of_what_the_aggregate_did_to_the_loss() -> None:
    attack, view, state, expected = aggregate_loss(), example_view(0), None, []
    for number in (1, 2, 3):
        seen = observation(number, torch.full((24,), 0.1 * number))
        assert seen.delta is not None
        state = attack.observe(seen, view, attack.init() if state is None else state)
        losses = [
            view.losses(w, view.records, view.labels) for w in (seen.weights, seen.weights + seen.delta)
        ]
        expected.append((losses[0] - losses[1]).double())
    assert state is not None
    scores = attack.guess(torch.zeros(24), view, state).scores
    torch.testing.assert_close(scores, torch.stack(expected).mean(dim=0))
    assert attack.seat == "aggregate"


def test_with_one_client_it_is_delta_loss() -> None:
    """The limiting case: the sum of one update is that update."""
    view = example_view(0)
    delta = torch.randn(24, generator=torch.Generator().manual_seed(9))
    alone = ClientUpdates(delta[None], torch.tensor([5]), torch.tensor([2]))
    scores = []
    for attack in (aggregate_loss(), delta_loss()):
        state = attack.observe(observation(1, delta, alone), view, attack.init())
        scores.append(attack.guess(delta, view, state).scores)
    torch.testing.assert_close(scores[0], scores[1][2])


def test_of_nothing_it_has_nothing_to_say() -> None:
    attack, view = aggregate_loss(), example_view(0)
    state = attack.observe(observation(1, None), view, attack.init())
    assert attack.guess(torch.zeros(24), view, state).scores.isnan().all()
    testing.check("privacy-attack", "aggregate-loss")


def found(**changes: Any) -> dict[str, float]:
    plain = {
        "data": "digits",
        "rounds": 8,
        "clients": {"count": 3, "held_out": 0.8},
        "model": {"name": "mlp", "hidden": [256]},
        "split": {"name": "quantity", "alpha": 100.0},
        "training": {"epochs": 10, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.01}},
        "privacy": {"attacks": ["aggregate-loss", "delta-loss"], "every": 1},
    }
    return dict(list(simulate(Experiment.model_validate({**plain, **changes})))[-1].metrics)


def test_clients_that_memorise_give_their_members_away_in_the_sum_too() -> None:
    """Random labels can only be learned by heart."""

    def shuffled_labels(root: Path) -> Dataset:
        data = load("digits", None, download=False)
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.y_train)))
        return replace(data, y_train=data.y_train[order])

    metrics = found(data={"name": shuffled_labels})
    assert metrics["aggregate_loss_auc"] > 0.75


def test_a_model_that_does_not_move_gives_nothing_away() -> None:
    """Updates clipped to nearly nothing: 0.5 within chance's interval, also where the split is skewed."""
    metrics = found(
        rounds=1,
        split={"name": "dirichlet", "alpha": 0.3},
        training={"epochs": 1, "batch_size": 512, "optimizer": {"name": "sgd", "lr": 1e-4}},
        privacy={"attacks": ["aggregate-loss"], "every": 1},
    )
    assert metrics["aggregate_loss_auc"] == pytest.approx(0.5, abs=0.1)
