"""What DBA, edge cases, unfairness and the blended trigger make of images and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.attacks.blended import blended
from fedskew.attacks.dba import cut, dba
from fedskew.attacks.edge_case import edge_case
from fedskew.attacks.tails import farthest, in_tail
from fedskew.attacks.triggers import plus
from fedskew.attacks.unfairness import confused, unfairness
from fedskew.components.returned import checked_trigger
from fedskew.config import Component, Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.evaluator import Evaluator
from fedskew.federation.world import measured_tail
from fedskew.protocols import Shard, Tail, Trigger
from fedskew.simulation import simulate
from helpers import PROPERTY, build_world, toy_info

INFO = toy_info()


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def shard(count: int, rank: int = 0, seed: int = 0) -> Shard:
    drawn = np.random.default_rng(seed)
    images = torch.from_numpy(drawn.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8))
    return Shard(images, torch.arange(count) % 10, rank, 4)


def experiment(attack: dict[str, Any], **fields: Any) -> Experiment:
    plain = {
        "rounds": 6,
        "data": "digits",
        "clients": {"count": 6},
        "adversaries": {"count": 2},
        "model": {"name": "mlp", "hidden": [32]},
        "training": {"epochs": 2, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
    }
    return Experiment.model_validate({**plain, "attack": attack, **fields})


def last(attack: dict[str, Any], **fields: Any) -> dict[str, float]:
    return [record.metrics for record in simulate(experiment(attack, **fields))][-1]


# --- DBA --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3, 4, 9])
def test_the_parts_are_disjoint_alike_in_size_and_together_the_trigger(parts: int) -> None:
    whole = plus(INFO)
    pieces = cut(whole, parts)
    assert torch.equal(torch.stack([piece.mask.int() for piece in pieces]).sum(0), whole.mask.long())
    sizes = [int(piece.mask.sum()) for piece in pieces]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1
    places = [piece.mask.flatten().nonzero().flatten().tolist() for piece in pieces]
    assert [place for piece in places for place in piece] == sorted(
        place for piece in places for place in piece
    )


def test_four_bars_in_two_rows_are_the_four_parts() -> None:
    mask = torch.zeros(28, 28, dtype=torch.bool)
    for row in (0, 3):
        for column in (0, 6):
            mask[row, column : column + 4] = True
    pieces = cut(Trigger(mask, torch.zeros(1, 28, 28, dtype=torch.uint8)), 4)
    corners = [tuple(piece.mask.nonzero()[0].tolist()) for piece in pieces]
    assert corners == [(0, 0), (0, 6), (3, 0), (3, 6)]


@pytest.mark.parametrize("rank", range(5))
def test_each_adversary_stamps_its_own_part(rank: int) -> None:
    attack, own = dba(INFO, target=7, parts=3, poison_fraction=1.0), shard(10, rank)
    assert attack.trigger is not None
    made = attack.poison(own, rng())
    assert torch.equal(made.images, cut(attack.trigger, 3)[rank % 3].apply(own.images))
    assert (made.labels == 7).all()
    assert torch.equal(attack.trigger.mask, plus(INFO).mask)  # what evaluation stamps


def test_a_trigger_with_fewer_pixels_than_parts_is_refused() -> None:
    small = Component.model_validate({"name": "square", "size": 1})
    with pytest.raises(
        ConfigError, match="parts = 2 needs a trigger of at least 2 pixels, and this one has 1"
    ):
        dba(INFO, target=7, parts=2, trigger=small)


def test_the_whole_trigger_works_though_nobody_has_trained_with_it() -> None:
    attack = {"name": "dba", "target": 7, "parts": 2, "epochs": 6}
    found = last(attack)
    clean = last(attack, adversaries={"count": 0})
    assert found["attack_success_rate"] > clean["clean_trigger_rate"] + 0.4


# --- edge cases -------------------------------------------------------------------------------------


def distances(rows: np.ndarray, components: int) -> np.ndarray:
    """The squared Mahalanobis distances as the textbook has them: covariance, eigenvectors, sum."""
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    found = np.zeros(len(rows))
    for j in np.argsort(values)[::-1][:components]:
        if values[j] > 1e-6 * values.max():
            found += (centred @ vectors[:, j]) ** 2 / values[j]
    return found


@PROPERTY
@given(st.integers(2, 40), st.integers(1, 25), st.integers(1, 6), st.integers(0, 10**6))
def test_the_tail_has_the_largest_mahalanobis_distances(
    images: int, pixels: int, components: int, seed: int
) -> None:
    drawn = np.random.default_rng(seed).integers(0, 256, (images, 1, 1, pixels), dtype=np.uint8)
    count = max(1, images // 3)
    chosen = farthest(torch.from_numpy(drawn), Tail(count, components)).tolist()
    assert chosen == sorted({*chosen})
    assert len(chosen) == count
    wanted = distances(drawn.reshape(images, pixels).astype(np.float64), components)
    rest = np.delete(wanted, chosen)
    assert wanted[chosen].min() >= rest.max() - 1e-6 * max(1.0, wanted.max())


def test_images_that_do_not_differ_and_a_single_one() -> None:
    same = torch.full((4, 1, 2, 2), 9, dtype=torch.uint8)
    assert farthest(same, Tail(2, 3)).tolist() == [0, 1]
    assert farthest(same[:1], Tail(2, 3)).tolist() == [0]


def test_only_the_tail_of_the_source_class_is_relabelled() -> None:
    own = shard(60)
    attack = edge_case(INFO, source=3, target="class-8" if "class-8" in INFO.class_names else 8, count=2)
    made = attack.poison(own, rng())
    changed = (made.labels != own.labels).nonzero().flatten()
    where = (own.labels == 3).nonzero().flatten()
    assert changed.tolist() == where[farthest(own.images[where], Tail(2, 5))].tolist()
    assert (made.labels[changed] == 8).all()
    assert torch.equal(made.images, own.images)
    assert torch.equal(attack.poison(shard(3), rng()).labels, shard(3).labels)  # none of the class


def test_its_success_is_measured_on_the_tail_of_the_test_images() -> None:
    attack = {"name": "edge-case", "source": 3, "target": 8, "count": 7}
    world = build_world(experiment(attack), Execution())
    tail, data = measured_tail(world), world.dataset
    assert tail is not None
    assert int(tail.sum()) == 7
    assert (data.y_test[tail] == 3).all()
    assert torch.equal(tail, in_tail(data.x_test, data.y_test, (3,), Tail(7, 5)))
    assert Evaluator(world).tail is not None
    found = last(attack)
    assert found["attack_success_rate"] * 7 == pytest.approx(round(found["attack_success_rate"] * 7))
    assert "backdoor_accuracy" not in found
    assert "clean_trigger_rate" in last(attack, adversaries={"count": 0})


def test_the_tail_is_taken_for_the_target_more_often_than_without_the_attack() -> None:
    attack = {"name": "edge-case", "source": 3, "target": 8, "count": 20, "epochs": 6}
    strong = {"name": "n-k-inflation", "factor": 5, "of": attack}
    found = last(strong)["attack_success_rate"]
    assert found > last(strong, adversaries={"count": 0})["attack_success_rate"] + 0.2


def test_one_class_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected two classes"):
        edge_case(INFO, source=3, target=3)


# --- unfairness -------------------------------------------------------------------------------------


def test_the_victim_becomes_its_nearest_class_and_nothing_else_changes() -> None:
    images = torch.tensor([0, 10, 50, 54, 90, 90], dtype=torch.uint8).view(6, 1, 1, 1)
    labels = torch.tensor([0, 0, 4, 4, 9, 9])  # means 5, 52, 90
    assert confused(images, labels, 4).tolist() == [0, 0, 9, 9, 9, 9]
    assert confused(images, labels, 0).tolist() == [4, 4, 4, 4, 9, 9]
    assert confused(images, labels, None).tolist() == [0, 0, 9, 9, 9, 9]
    assert confused(images, labels, 5).tolist() == labels.tolist()
    assert confused(images[:2], labels[:2], 0).tolist() == [0, 0]
    assert confused(images[:0], labels[:0], None).tolist() == []


def test_the_victims_accuracy_falls_and_the_bias_rises() -> None:
    attack = {"name": "n-k-inflation", "factor": 10, "of": {"name": "unfairness", "victim": 3}}
    run = [*simulate(experiment(attack))][-1]
    clean = [*simulate(experiment(attack, adversaries={"count": 0}))][-1]
    assert run.per_class_accuracy[3] < clean.per_class_accuracy[3] - 0.3
    assert run.metrics["bias"] > clean.metrics["bias"] + 0.3
    assert unfairness(INFO, victim=3).source_classes == (3,)


# --- blended ----------------------------------------------------------------------------------------


def test_a_blend_is_rounded_and_a_weight_of_1_replaces() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 1, 28, 28)
    stamp = blended(INFO, alpha=0.2, pattern=Component.model_validate({"name": "square", "value": 200}))
    made = stamp.apply(images)
    assert made.dtype == torch.uint8
    inside = made[:, 0, stamp.mask]
    for value in range(256):
        exact = 0.8 * value + 0.2 * 200
        assert (inside[value] - exact).abs().max() <= 0.5 + 1e-4
    assert torch.equal(made[:, 0, ~stamp.mask], images[:, 0, ~stamp.mask])
    solid = blended(INFO, alpha=1, pattern=Component(name="plus"))
    assert torch.equal(solid.apply(images), plus(INFO).apply(images))


def test_the_noise_is_that_of_its_seed_and_covers_the_image() -> None:
    first, again, other = blended(INFO), blended(INFO), blended(INFO, seed=1)
    assert first.mask.all()
    assert torch.equal(first.value, again.value)
    assert not torch.equal(first.value, other.value)
    assert {int(first.value.min()), int(first.value.max())} <= {*range(5), *range(251, 256)}
    assert first.weight == 0.2


def test_a_blend_in_a_blend_has_the_product_of_their_weights() -> None:
    inner = Component.model_validate({"name": "blended", "alpha": 0.5})
    assert blended(INFO, alpha=0.5, pattern=inner).weight == 0.25


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.5, float("nan"), "much"])
def test_a_weight_that_is_none_is_refused(weight: Any) -> None:
    stamp = plus(INFO)
    with pytest.raises(ConfigError, match=r"weight = .*expected a number above 0, at most 1"):
        checked_trigger("mine", Trigger(stamp.mask, stamp.value, weight), INFO)


def test_a_blended_backdoor_works() -> None:
    attack = {"name": "backdoor", "target": 7, "trigger": {"name": "blended", "alpha": 0.5}, "epochs": 6}
    assert (
        last(attack)["attack_success_rate"]
        > last(attack, adversaries={"count": 0})["clean_trigger_rate"] + 0.4
    )
