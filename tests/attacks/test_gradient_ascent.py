"""Gradient ascent: in one step it is a sign flip, with Adam it climbs, and what is not finite is left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fedskew
from fedskew.attacks.gradient_ascent import ascend, gradient_ascent
from fedskew.protocols import LocalSettings, LocalView, RoundRecord
from helpers import toy_info


def records(attack: Any, **changes: Any) -> list[RoundRecord]:
    experiment = {"clients": {"count": 5}, "adversaries": {"count": 2}, "rounds": 2, **changes}
    return list(fedskew.simulate(fedskew.Experiment(attack=attack, **experiment)))


def test_the_gradient_of_one_client_and_of_many_is_negated_in_place() -> None:
    view = LocalView(torch.zeros(2), torch.zeros(2), {}, {}, 0.1)
    gradient = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    ascend(gradient, view)
    assert gradient.tolist() == [[-1, 2], [0, -3]]
    assert gradient_ascent(toy_info()).threat_model == "own-updates"
    assert gradient_ascent(toy_info(), lr=0.5).training == LocalSettings(lr=0.5)


def test_in_one_step_of_sgd_it_is_a_sign_flip() -> None:
    one_step = {"epochs": 1, "batch_size": 1000, "optimizer": {"name": "sgd", "lr": 0.5}}
    up, turned = (records(name, training=one_step) for name in ("gradient-ascent", "sign-flip"))
    for one, other in zip(up, turned, strict=True):
        # Local weights are rounded to 2^-25 of about 0.1 before the start is taken away, once in each direction.
        assert one.metrics["test_loss"] == pytest.approx(other.metrics["test_loss"], rel=1e-5)
        assert one.metrics["cosine_honest_malicious"] < 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_adversaries_climb_with_any_optimiser(optimizer: str) -> None:
    training = {"batch_size": 32, "optimizer": {"name": optimizer, "lr": 0.01}}
    honest, attacked = (records(name, training=training) for name in ("none", "gradient-ascent"))
    assert attacked[-1].metrics["cosine_honest_malicious"] < -0.2
    assert attacked[-1].metrics["test_loss"] > honest[-1].metrics["test_loss"]


def test_an_update_that_is_not_finite_is_left_out() -> None:
    training = {"batch_size": 16, "epochs": 5, "optimizer": "sgd"}
    found = records({"name": "gradient-ascent", "lr": 100.0}, training=training)
    assert all(len(record.rejected) == 2 for record in found)
    tame = records({"name": "gradient-ascent", "lr": 0.01}, training=training)
    assert not any(record.rejected for record in tame)
