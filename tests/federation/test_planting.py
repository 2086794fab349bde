"""A planted property: who holds it in which images, what stays as it is, and what of it an attack may ask about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.planting import planted
from fedskew.federation.privacy import Leaks
from fedskew.federation.spread import spread
from fedskew.federation.state import initial_state
from fedskew.federation.world import World
from fedskew.privacy.properties import PROPERTIES
from fedskew.simulation import rounds, simulate
from helpers import build_world, view_of

LABELS = np.random.default_rng(0).integers(0, 10, 1000)


def experiment(share: float = 0.5, holders: float = 0.5, **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "data": "digits",
            "rounds": 3,
            "clients": {"count": 8, "held_out": 0.2},
            "split": {"name": "dirichlet", "alpha": 0.5, "min_size": 10},
            "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}},
            "privacy": {"property": {"name": "inverted", "share": share, "clients": holders}},
            **changes,
        }
    )


def world_of(config: Experiment) -> World:
    return build_world(config, Execution())


def without(config: Experiment) -> Experiment:
    return config.model_copy(update={"privacy": {}})


@pytest.mark.parametrize(("holders", "count"), [(0.25, 2), (0.5, 4), (0.7, 5), (0.75, 6)])
def test_so_many_honest_clients_hold_it_in_so_many_images(holders: float, count: int) -> None:
    config = experiment(0.29, holders, adversaries={"count": 2}, clients={"count": 10})
    where = spread(view_of(LABELS), config)
    found = planted(where, config)
    assert found is not None
    assert len(found.places) == count
    assert set(found.places) <= set(where.honest)
    assert list(found.places) == sorted(found.places)
    for k, places in found.places.items():
        size = len(where.shards[k])
        assert len(np.unique(places)) == len(places) == int(0.29 * size + 1e-9)
        assert ((places >= 0) & (places < size)).all()


def test_more_of_it_adds_to_what_there_is_and_another_seed_changes_it() -> None:
    few, many = experiment(0.2, 0.25), experiment(0.6, 0.75)
    where = spread(view_of(LABELS), few)
    less, more = planted(where, few), planted(where, many)
    assert less is not None
    assert more is not None
    assert set(less.places) < set(more.places)
    assert all(set(less.places[k]) < set(more.places[k]) for k in less.places)
    again, other = planted(where, few), planted(where, few.model_copy(update={"seed": 1}))
    assert again is not None
    assert other is not None
    assert all(np.array_equal(less.places[k], again.places[k]) for k in less.places)
    places = [p.tolist() for p in less.places.values()]
    assert places != [p.tolist() for p in other.places.values()]
    fixed = few.model_copy(update={"seed": 9, "split_seed": 0})
    kept = planted(spread(view_of(LABELS), fixed), fixed)
    assert kept is not None
    assert [p.tolist() for p in kept.places.values()] == places


@pytest.mark.parametrize("name", list(PROPERTIES))
def test_copies_are_altered_in_place_and_nothing_else_is(name: str) -> None:
    config = experiment(0.3, privacy={"property": {"name": name, "share": 0.3}})
    world, plain = world_of(config), world_of(without(config))
    population, where, data = world.population, world.population.spread, world.dataset
    assert population.planted is not None
    assert torch.equal(population.images[: len(data.x_train)], plain.dataset.x_train)
    for k in range(8):
        index, original = torch.from_numpy(population.shards[k]), torch.from_numpy(where.shards[k])
        assert np.array_equal(where.shards[k], plain.population.spread.shards[k])
        assert torch.equal(population.labels[index], data.y_train[original])
        expected = data.x_train[original]
        if k in population.planted.places:
            at = torch.from_numpy(population.planted.places[k])
            expected[at] = PROPERTIES[name](expected[at])
            assert not torch.equal(expected, data.x_train[original])
        assert torch.equal(population.images[index], expected)


def test_adversaries_keep_their_images_and_holders_the_property_in_all_rounds() -> None:
    """Adversaries poison in round 2 only: in other rounds they have their own images, holders the altered ones."""
    backdoor = {"name": "backdoor", "target": 7}
    config = experiment(attack=backdoor, adversaries={"count": 2, "start": 2, "stop": 2})
    population, plain = world_of(config).population, world_of(without(config)).population
    assert population.planted is not None
    for k in range(8):
        acting, resting = population.shards[k], population.unpoisoned[k]
        if k in population.spread.malicious:
            assert np.array_equal(resting, plain.spread.shards[k])
            poisoned = population.images[torch.from_numpy(acting)]
            assert torch.equal(poisoned, plain.images[torch.from_numpy(plain.shards[k])])
        else:
            assert np.array_equal(acting, resting)
            assert np.array_equal(acting, plain.shards[k]) == (k not in population.planted.places)
    ours = [record.metrics for record in simulate(config)]
    late = config.model_copy(update={"adversaries": {"count": 2, "start": 3}})
    assert ours[0] == next(iter(simulate(late))).metrics != next(iter(simulate(without(config)))).metrics


def test_holders_train_on_it_and_a_property_of_no_image_is_the_run_without() -> None:
    def trained(config: Experiment) -> tuple[list[dict[str, float]], torch.Tensor]:
        world = world_of(config)
        state = initial_state(world)
        return [dict(record.metrics) for record in rounds(world, state, [])], state.weights

    plain, weights = trained(without(experiment()))
    nothing, same = trained(experiment(0.001))
    assert nothing == plain
    assert torch.equal(same, weights)
    assert not torch.equal(trained(experiment())[1], weights)


def test_personal_models_are_trained_on_it_too() -> None:
    clients = {"count": 8, "held_out": 0.2, "personal": {"name": "fine-tuning", "epochs": 1}}
    whole = experiment(1.0, 0.75, clients=clients, rounds=1)
    ours = list(simulate(whole))[-1].metrics["personal_accuracy_mean"]
    theirs = list(simulate(without(whole)))[-1].metrics["personal_accuracy_mean"]
    assert ours < theirs


def test_members_are_images_that_were_trained_on_as_they_are() -> None:
    config = experiment(0.5, clients={"count": 8, "held_out": 0.4})
    world, plain = world_of(config), world_of(without(config))
    population = world.population
    assert population.planted is not None
    for k in range(8):
        seen = set(population.shards[k].tolist())
        members = population.members(k)
        assert set(members.tolist()) == seen & set(population.spread.shards[k].tolist())
        if k not in population.planted.places:
            assert np.array_equal(members, plain.population.members(k))
    records, images = Leaks(world).records, population.images
    for k in population.planted.places:
        own = images[torch.from_numpy(population.members(k))].flatten(1).tolist()
        asked = records.images[torch.from_numpy(records.truth.member & (records.truth.client == k))]
        assert len(asked)
        assert all(image in own for image in asked.flatten(1).tolist())


def test_where_all_images_are_altered_a_holder_has_no_members_and_is_still_asked_about_the_property() -> None:
    config = experiment(1.0, adversaries={"count": 1})
    world = world_of(config)
    truth = Leaks(world).records.truth
    where, property_ = world.population.spread, world.population.planted
    assert property_ is not None
    assert truth.holders is not None
    assert [k for k in range(8) if truth.holders[k] == 1] == list(property_.places)
    assert [k for k in range(8) if np.isnan(truth.holders[k])] == list(where.malicious)
    assert not set(truth.asked) & set(property_.places)
    assert Leaks(world_of(without(config))).records.truth.holders is None


def test_images_that_are_not_square_cannot_be_rotated() -> None:
    with pytest.raises(
        ConfigError, match=r"'rotated' needs images that are as high as wide; these are 4 x 5"
    ):
        PROPERTIES["rotated"](torch.zeros(1, 1, 4, 5, dtype=torch.uint8))


def test_enough_clients_must_have_data() -> None:
    """Of four clients with data one would hold it: seen only when the data is divided."""
    labels = np.arange(4)
    config = experiment(holders=0.3, split="iid", clients={"count": 8})
    with pytest.raises(ConfigError) as caught:
        planted(spread(view_of(labels), config), config)
    assert caught.value.message == (
        "privacy.property.clients = 0.3: of the honest clients at least two must hold the property and two not, and "
        "with seed 0 only 4 of them have data: 1 would hold it and 3 not"
    )
