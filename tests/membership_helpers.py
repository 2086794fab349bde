"""Runs in which it is known what an attack on membership must find, and what they found."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.datasets import load
from fedskew.federation.observation import Watch
from fedskew.federation.privacy import Leaks
from fedskew.federation.state import initial_state
from fedskew.federation.world import World, build_world
from fedskew.privacy.fed_mia import fed_mia
from fedskew.protocols import ClientUpdates, Dataset, PrivacyAttack, RoundRecord
from fedskew.simulation import simulate

CLIENTS = 5


def _shuffled_labels(root: Path) -> Dataset:
    data = load("digits", None, download=False)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.y_train)))
    return Dataset(data.info, data.x_train, data.y_train[order], data.x_test, data.y_test)


def fed_mia_by_loss() -> PrivacyAttack:
    """``fed-mia`` with the other measure, under a name of its own."""
    return fed_mia(measure="loss")


@cache
def memorised() -> dict[str, float]:
    """What attacks find on digits with random labels, which cannot be learned but by heart; the model is large."""
    experiment = Experiment.model_validate(
        {
            "data": {"name": _shuffled_labels},
            "rounds": 6,
            "clients": {"count": CLIENTS, "held_out": 0.8},
            "split": {"name": "quantity", "alpha": 100.0},
            "model": {"name": "mlp", "hidden": [256]},
            "training": {"epochs": 20, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.01}},
            "privacy": {
                "attacks": ["delta-cosine", "fed-mia", fed_mia_by_loss, {"name": "rmia", "rounds": 2}],
                "every": 1,
            },
        }
    )
    found = list(simulate(experiment))[-1].metrics
    assert found["train_accuracy"] > 0.9
    return found


def digits_world(attack: Any, **changes: Any) -> World:
    """A world of digits whose clients hold half of their images out."""
    experiment = Experiment.model_validate(
        {
            "data": "digits",
            "clients": {"count": CLIENTS, "held_out": 0.5},
            "privacy": {"attacks": [attack], "every": 1},
            "training": {"batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}},
            **changes,
        }
    )
    return build_world(completed(experiment), Execution())


def never_saw_it(attack: Any) -> tuple[dict[str, float], float]:
    """What an attack finds where the global model is the initial one and updates are noise, and the standard
    deviation of such an AUC (Mann-Whitney)."""
    world = digits_world(attack)
    leaks, state = Leaks(world), initial_state(world)
    watch = Watch(world, state.buffers)
    state.round = 1
    noise = torch.randn(CLIENTS, world.layout.total, generator=torch.Generator().manual_seed(0)) / 100
    sizes = torch.from_numpy(world.num_examples)
    watch.see(1, state.weights, ClientUpdates(noise, sizes, torch.arange(CLIENTS)))
    found = leaks.after(
        state, watch, [RoundRecord(1, {}, [], [*range(CLIENTS)], [], [], {})], last=True, taken={}
    )
    members = int(leaks.records.truth.member.sum())
    assert members > 400
    return found, float(np.sqrt((2 * members + 1) / (12 * members**2)))
