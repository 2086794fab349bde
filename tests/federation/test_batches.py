"""A model that cannot be trained on one image, and a client that has a batch of one: refused before any training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedskew.components.returned import trained_on
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import AggregationTrace, Aggregator, Attack, DatasetInfo, LocalSettings, Shard
from fedskew.simulation import simulate
from helpers import build_world, toy_info


def norm(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 10))


def norm_of_maps(info: DatasetInfo) -> nn.Module:
    """One image has 64 values per channel."""
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(128, 10))


def sizes(*wanted: int) -> Callable[..., list[np.ndarray]]:
    """A split with so many images for each client, the rest for the last one."""

    def split(labels: np.ndarray, num_clients: int, rng: Any) -> list[np.ndarray]:
        return np.split(np.arange(len(labels)), np.cumsum(wanted))

    return split


def experiment(*wanted: int, **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "rounds": 2,
            "stopping": "rounds",
            "model": norm,
            "split": sizes(*wanted),
            "clients": {"count": len(wanted) + 1},
            "training": {"epochs": 1, "batch_size": 32, **changes.pop("training", {})},
            **changes,
        }
    )


def refusal(given: Experiment) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        build_world(given, Execution())
    assert caught.value.field == "training.last_batch"
    return caught.value


MERGE_OR_DROP = (
    'training.last_batch = "merge" adds it to the batch before it; "drop" leaves it out of its epoch'
)


def test_a_last_batch_of_one_image_names_client_images_batch_size_and_rule() -> None:
    error = refusal(experiment(64, 65, 97, 40))  # and 1171 = 36 * 32 + 19
    assert (
        "norm' cannot be trained on a batch of one image, and client 1 has one: it holds 65 images"
        in error.message
    )
    assert 'training.batch_size is 32 and training.last_batch is "keep" (1 other client too)' in error.message
    assert "Expected more than 1 value per channel" in error.message
    assert "\n" not in error.message
    assert error.hint == MERGE_OR_DROP


@pytest.mark.parametrize("rule", ["merge", "drop"])
def test_merging_or_dropping_it_is_a_way_out(rule: str) -> None:
    records = list(simulate(experiment(64, 65, 97, 40, training={"last_batch": rule})))
    assert [record.rejected for record in records] == [[], []]


@pytest.mark.parametrize("rule", ["keep", "merge", "drop"])
def test_no_rule_helps_a_client_with_one_image_and_it_is_named_first(rule: str) -> None:
    error = refusal(experiment(65, 1, 0, training={"last_batch": rule}))
    assert "client 1 has one: it holds 1 image, " in error.message
    assert error.hint == (
        "a split that gives every client 2 images or more, or a model that normalises each image by itself"
    )
    uneven = {"name": "dirichlet", "alpha": 0.05}
    error = refusal(experiment(*[0] * 99, training={"last_batch": rule}, split=uneven))
    assert "split.min_size = 2 draws again until it does" in str(error.hint)


def test_batches_of_one_by_the_batch_size() -> None:
    error = refusal(experiment(64, training={"batch_size": 1}))
    assert "client 0 has one: it holds 64 images, training.batch_size is 1" in error.message
    assert error.hint == "batches of 2 images or more, for example training.batch_size = 32"


def test_a_model_that_can_be_trained_on_one_image_is_not_refused() -> None:
    """Found out by trial: two batch normalisations, of which one cannot."""
    assert len(list(simulate(experiment(65, 1, model=norm_of_maps)))) == 2
    assert len(list(simulate(experiment(65, 1, model="mlp")))) == 2
    assert trained_on(1, norm_of_maps(toy_info((1, 8, 8))), toy_info((1, 8, 8))) == ""
    assert "more than 1 value" in trained_on(1, norm(toy_info((1, 8, 8))), toy_info((1, 8, 8)))


def test_clients_without_data_and_larger_batches_are_none_of_its_business() -> None:
    build_world(experiment(0, 64, 2), Execution())


def test_adversaries_are_looked_at_in_the_rounds_in_which_they_act() -> None:
    def cut_to(images: int, settings: LocalSettings = LocalSettings()) -> Callable[[DatasetInfo], Attack]:  # noqa: B008
        def poison(shard: Shard, rng: Any) -> Shard:
            return Shard(shard.images[:images], shard.labels[:images])

        return lambda info: Attack(poison=poison, training=settings)

    # 479 images each, 14 * 32 + 31
    thirds = {"split": sizes(479, 479), "adversaries": {"count": 1}}
    error = refusal(experiment(479, 479, attack=cut_to(33), **thirds))
    assert "it holds 33 images" in error.message
    build_world(experiment(479, 479, attack=cut_to(34), **thirds), Execution())
    own = cut_to(34, LocalSettings(batch_size=11))
    assert (
        "it holds 34 images, training.batch_size is 11"
        in refusal(experiment(479, 479, attack=own, **thirds)).message
    )
    never = {**thirds, "adversaries": {"count": 1, "start": 3}}
    build_world(experiment(479, 479, attack=cut_to(33), **never), Execution())

    # One adversary who is left with 32 of 33 images while they act, and holds 33 while they do not.
    (bad,) = build_world(experiment(479, 479, **thirds), Execution()).population.spread.malicious
    held = [33 if client == bad else 702 for client in range(2)]
    held = held if bad < 2 else [702, 702]
    cut = {"attack": cut_to(32), "split": sizes(*held)}
    build_world(experiment(*held, adversaries={"count": 1}, **cut), Execution())
    for schedule in ({"start": 2}, {"stop": 1}, {"every": 2}):
        error = refusal(experiment(*held, adversaries={"count": 1, **schedule}, **cut))
        assert f"client {bad} has one: it holds 33 images, training.batch_size is 32" in error.message


def test_the_servers_own_data_is_looked_at_too() -> None:
    def trusting() -> Aggregator:
        return Aggregator(
            lambda updates, view, state: (updates.deltas.mean(dim=0), AggregationTrace(), state),
            server_data=33,
        )

    given = experiment(702, defence={"aggregator": trusting})  # and 702: 21 * 32 + 30
    assert "the server has one: it holds 33 images" in refusal(given).message


def test_trying_a_model_in_training_changes_nothing_in_it() -> None:
    module, info = norm(toy_info((1, 8, 8))).eval(), toy_info((1, 8, 8))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    assert trained_on(2, nn.Sequential(module, nn.Dropout()), info) == ""
    assert not module.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_what_fails_without_a_word_is_called_by_its_type() -> None:
    class Silent(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise NotImplementedError

    assert trained_on(1, Silent(), toy_info()) == "NotImplementedError"
