"""The backdoor's projected training, its own settings, and the number of examples that it reports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.attacks.backdoor import backdoor
from fedskew.attacks.projection import ball
from fedskew.components.binding import build_attack
from fedskew.components.identity import identity
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import (
    AdversaryView,
    Crafted,
    LocalSettings,
    LocalView,
    ParameterLayout,
    Shard,
    keep_updates,
)
from helpers import PROPERTY, delta_matrices, toy_info

INFO = toy_info()


def projected(weights: Tensor, start: Tensor, radius: float) -> Tensor:
    project, found = ball(radius).project, weights.clone()
    assert project is not None
    project(found, LocalView(weights, start, {}, {}, 0.1))
    return found


def test_weights_outside_the_ball_are_put_on_it() -> None:
    # From (1, 1), (3, 4) further: 5 away, put at 2.
    found = projected(torch.tensor([4.0, 5.0]), torch.tensor([1.0, 1.0]), 2.0)
    assert found.tolist() == pytest.approx([1 + 3 * 0.4, 1 + 4 * 0.4])


def test_weights_inside_the_ball_keep_their_bits() -> None:
    weights = torch.tensor([[0.1, -0.0, 1e-40], [9.0, 0.0, 0.0]])
    found = projected(weights, torch.tensor([0.1, 0.0, 0.0]), 1.0)
    assert torch.equal(found[0].view(torch.int32), weights[0].view(torch.int32))
    assert found[1].tolist() == pytest.approx([1.1, 0, 0])


@PROPERTY
@given(delta_matrices(), st.floats(1e-3, 1e3))
def test_no_row_is_further_away_than_the_radius_and_all_keep_their_direction(
    weights: np.ndarray, radius: float
) -> None:
    rows, start = torch.from_numpy(weights), torch.linspace(-1, 1, weights.shape[1])
    found = projected(rows, start, radius)
    moved, wanted = (found - start).double(), (rows - start).double()
    # What is subtracted may be larger than the radius by far: the rounding is that of the start weights.
    assert (moved.norm(dim=1) <= radius * (1 + 1e-4) + 1e-6 * weights.shape[1]).all()
    shrink = (radius / wanted.norm(dim=1)).clamp_max(1)[:, None]
    assert torch.allclose(moved, wanted * shrink, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(projected(r, start, radius), f) for r, f in zip(rows, found, strict=True))


def test_the_options_become_the_attacks_objective_and_settings() -> None:
    attack = backdoor(INFO, target=7, projection=0.5, epochs=6, batch_size=32, lr=0.02)
    assert attack.objective is not None
    assert attack.objective.project is not None
    assert attack.training == LocalSettings(epochs=6, batch_size=32, lr=0.02)
    assert attack.craft is keep_updates


def test_without_them_everything_is_as_it_was() -> None:
    attack = backdoor(INFO, target=7)
    assert attack.objective is None
    assert attack.training == LocalSettings()
    assert attack.craft is keep_updates


def view(num_examples: list[int]) -> AdversaryView:
    layout, counts = ParameterLayout(("w",), ((3,),)), torch.tensor(num_examples)
    return AdversaryView(1, torch.zeros(3), layout, torch.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("report", "expected"), [(10.0, [10, 1000]), (0.5, [1, 50]), (1e-9, [1, 1]), (2.26, [2, 226])]
)
def test_the_reported_number_of_examples_is_inflated(report: float, expected: list[int]) -> None:
    attack, deltas = backdoor(INFO, target=7, report=report), torch.ones(2, 3)
    found = attack.craft(deltas, view([1, 100]), np.random.default_rng(0))
    assert isinstance(found, Crafted)
    assert found.deltas is deltas
    assert found.num_examples is not None
    assert found.num_examples.tolist() == expected
    assert found.num_examples.dtype == torch.int64


def test_a_poisoned_shard_is_still_of_the_same_adversary() -> None:
    shard = Shard(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), 2, 3)
    found = backdoor(INFO, target=7).poison(shard, np.random.default_rng(0))
    assert (found.rank, found.count) == (2, 3)


def test_new_options_at_their_defaults_do_not_rename_a_run() -> None:
    plain = {"name": "backdoor", "target": 7}
    assert identity(Experiment(attack=plain)) == identity(Experiment(attack={**plain, "report": 1.0}))
    assert identity(Experiment(attack=plain)) != identity(Experiment(attack={**plain, "projection": 1.0}))


@pytest.mark.parametrize("report", [1e300, 1e6 + 1, float("inf"), float("nan"), 0.0, -1.0])
def test_a_report_that_no_count_can_hold_is_refused(report: float) -> None:
    with pytest.raises(ConfigError, match=r"attack\.report = .*: input should be"):
        build_attack(Component.model_validate({"name": "backdoor", "target": 7, "report": report}), INFO)
    most = Component.model_validate({"name": "backdoor", "target": 7, "report": 1e6})
    sent = build_attack(most, INFO).craft(torch.ones(1, 3), view([70_000]), np.random.default_rng(0))
    assert sent.num_examples.tolist() == [70_000_000_000]
