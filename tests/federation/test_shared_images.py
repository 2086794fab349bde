"""Images that a split gives to every client: what becomes of them in a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedskew.attacks.backdoor import backdoor
from fedskew.config import Adversaries, Clients, Component, Data, Execution, Experiment
from fedskew.errors import ConfigError, PartitionError
from fedskew.federation.population import populate
from fedskew.federation.spread import Spread, spread
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.protocols import DatasetInfo
from fedskew.simulation import simulate
from helpers import PROPERTY, build_world, view_of

LABELS = np.random.default_rng(0).integers(0, 10, 600)
SEEDS = st.integers(0, 10_000)


def experiment(
    alpha: float = 0.3,
    clients: int = 6,
    held_out: float = 0.0,
    of: dict[str, Any] | None = None,
    **fields: Any,
) -> Experiment:
    """60 of 600 images with the server, 30 of them with everybody."""
    inner = of or {"name": "dirichlet", "alpha": alpha}
    split = Component(name="data-sharing", of=inner, **fields.pop("split", {}))
    return Experiment(split=split, clients=Clients(count=clients, held_out=held_out), **fields)


def images(where: Spread, clients: Any = None) -> set[int]:
    parts = [where.shards[k] for k in (range(len(where.shards)) if clients is None else clients)]
    return set(np.concatenate(parts).tolist())


def test_the_spread_knows_what_is_shared_and_what_is_a_clients_own() -> None:
    where = spread(view_of(LABELS), experiment())
    assert len(where.shared) == 30
    assert len(images(where)) == 600 - 60 + 30
    for client, shard in enumerate(where.shards):
        assert {*where.shared.tolist()} <= {*shard.tolist()}
        assert len(where.own(client)) == len(shard) - 30
    assert not len(spread(view_of(LABELS), Experiment(split=Component(name="dirichlet", alpha=0.3))).shared)
    assert not len(spread(view_of(LABELS), experiment(split={"share": 0.0})).shared)


@PROPERTY
@given(
    SEEDS,
    st.floats(0, 0.9),
    st.sampled_from(["share", "sample", "exclusive", "sample, all", "exclusive, all"]),
)
def test_shared_images_are_never_held_out_and_nobody_trains_on_what_is(
    seed: int, share: float, data: str
) -> None:
    adversaries = Adversaries(count=2)
    if data != "share":
        over: Any = "all" if data.endswith("all") else "honest"
        exclusive = data.startswith("exclusive")
        adversaries = Adversaries(count=2, data="sample", size=80, exclusive=exclusive, split_over=over)
    changes: dict[str, Any] = {"split": {"share": share}, "seed": seed, "adversaries": adversaries}
    where, plain = (spread(view_of(LABELS), experiment(held_out=h, **changes)) for h in (0.25, 0.0))
    held = set(np.concatenate(where.held_out).tolist())
    assert not held & images(where)
    assert not held & set(where.shared.tolist())
    for k in where.honest:
        assert set(where.shared.tolist()) <= set(where.shards[k].tolist()), "everybody still trains on them"
        assert len(where.held_out[k]) == len(plain.own(k)) // 4, "a quarter of what is the client's own"


def test_without_sharing_what_is_held_out_is_that_of_the_split_alone() -> None:
    alone = Experiment(split=Component(name="dirichlet", alpha=0.3), clients=Clients(count=6, held_out=0.2))
    theirs, ours = (
        spread(view_of(LABELS), alone),
        spread(view_of(LABELS), experiment(held_out=0.2, split={"fraction": 0.0})),
    )
    for mine, other in zip((*ours.shards, *ours.held_out), (*theirs.shards, *theirs.held_out), strict=True):
        assert np.array_equal(mine, other)


def test_adversaries_with_their_share_get_the_images_too_and_poison_copies_of_their_own() -> None:
    world = build_world(experiment(adversaries=Adversaries(count=1), data=Data()), Execution())
    where, data = world.population.spread, world.dataset
    (bad,) = where.malicious
    assert set(where.shared.tolist()) <= set(where.shards[bad].tolist())
    population = populate(data, where, backdoor(data.info, target=7, poison_fraction=1.0), 0)
    assert population.shards[bad].min() >= len(data.y_train), "copies"
    for k in where.honest:
        assert np.array_equal(population.shards[k], where.shards[k])
    assert (population.images[: len(data.y_train)] == data.x_train).all()


@pytest.mark.parametrize("over", ["honest", "all"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_adversaries_with_a_sample_hold_that_and_nothing_else(over: Any, exclusive: bool) -> None:
    adversaries = Adversaries(count=2, data="sample", size=100, exclusive=exclusive, split_over=over)
    where = spread(view_of(LABELS), experiment(adversaries=adversaries))
    assert [len(where.shards[k]) for k in where.malicious] == [100, 100]
    theirs = images(where, where.malicious)
    if exclusive:
        assert not theirs & images(where, where.honest)
        assert not theirs & set(where.shared.tolist())
    if over == "honest" and exclusive:
        assert len(where.shared) == 20, "of the 400 images that the samples leave"
    elif exclusive:
        assert 0 < len(where.shared) < 30, "some of them are in a sample"
    else:
        assert len(where.shared) == 30
    assert all(set(where.shared.tolist()) <= set(where.shards[k].tolist()) for k in where.honest)


def test_a_client_trains_on_its_own_and_the_shared_images_and_reports_both() -> None:
    """With alpha = 0.001 ten classes go to a few of 30 clients: the others have the shared images alone."""
    config = experiment(alpha=1e-3, clients=30, rounds=1, training={"epochs": 1})
    world = build_world(config, Execution())
    where, shared = world.population.spread, len(world.population.spread.shared)
    assert world.num_examples.min() == shared == 71
    assert world.num_examples.tolist() == [len(where.own(k)) + shared for k in range(30)]
    assert min(len(where.own(k)) for k in range(30)) == 0
    (record,) = simulate(config)
    assert record.empty == []
    alone = Experiment(rounds=1, split=Component(name="dirichlet", alpha=1e-3), clients=Clients(count=30))
    assert len(next(iter(simulate(alone))).empty) > 15


def test_measures_count_shared_images_as_the_clients_own() -> None:
    where = spread(view_of(LABELS), experiment())
    table = where.counts(LABELS, 10)
    assert table.sum() == 540 + 6 * 30
    none, half, everything = (
        heterogeneity(
            spread(view_of(LABELS), experiment(split={"share": share})).counts(LABELS, 10)
        ).total_variation
        for share in (0.0, 0.5, 1.0)
    )
    assert none > half > everything


def test_the_least_size_is_one_of_a_clients_own_images() -> None:
    of = {"name": "dirichlet", "alpha": 1.0, "min_size": 40}
    where = spread(view_of(LABELS), experiment(of=of))
    assert min(len(where.own(k)) for k in range(6)) >= 40
    adversaries = Adversaries(count=1, data="sample", size=300, exclusive=True, split_over="all")
    with pytest.raises(
        PartitionError, match=r"honest shard has \d+ samples .* and those that are shared"
    ) as caught:
        spread(view_of(LABELS), experiment(of=of, adversaries=adversaries))
    assert caught.value.hint == "lower split.of.min_size, or set adversaries.exclusive = false"


def norm(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10))


def test_a_batch_of_one_names_the_option_of_the_inner_split() -> None:
    config = experiment(0.02, clients=40, split={"share": 0.0}, model=norm)
    with pytest.raises(ConfigError) as caught:
        build_world(config, Execution())
    assert "split.of.min_size = 2 draws again until it does" in str(caught.value.hint)


def test_a_run_without_a_fraction_is_the_run_with_the_split_alone() -> None:
    base: dict[str, Any] = {
        "rounds": 2,
        "training": {"epochs": 1},
        "adversaries": {"count": 1},
        "attack": "sign-flip",
    }
    alone = Experiment.model_validate({**base, "split": {"name": "dirichlet", "alpha": 0.3}})
    nothing = {"name": "data-sharing", "of": {"name": "dirichlet", "alpha": 0.3}, "fraction": 0.0}
    wrapped = Experiment.model_validate({**base, "split": nothing})
    assert list(simulate(alone)) == list(simulate(wrapped))
