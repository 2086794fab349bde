"""The batch plan: each epoch every image of the shard once, in an order that depends on seed, round and client."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.config import SGD, LastBatch, Training
from fedskew.training.plan import ClientWork, plan, smallest_batch
from fedskew.training.recipe import Recipe
from helpers import PROPERTY

RULES: tuple[LastBatch, ...] = ("keep", "merge", "drop")
SHARDS = [np.arange(0, 7), np.arange(7, 9), np.arange(20, 40)]


def training(epochs: int = 1, batch_size: int = 4) -> Training:
    return Training(epochs=epochs, batch_size=batch_size)


def sizes(work: ClientWork) -> list[int]:
    return [len(batch) for batch in work.batches]


def same(one: ClientWork, other: ClientWork) -> bool:
    return (
        (one.client, one.seed, one.num_examples) == (other.client, other.seed, other.num_examples)
        and len(one.batches) == len(other.batches)
        and all(torch.equal(a, b) for a, b in zip(one.batches, other.batches, strict=True))
    )


def test_the_last_short_batch_of_each_epoch_is_kept() -> None:
    # 7 images in batches of 4: 4 + 3, twice; 2 images: one short batch; 20: 5 full ones
    work = plan(0, 1, [0, 1, 2], SHARDS, training(epochs=2))
    assert [sizes(w) for w in work] == [[4, 3, 4, 3], [2, 2], [4] * 10]
    assert [w.num_examples for w in work] == [7, 2, 20]


@pytest.mark.parametrize(
    ("rule", "by_hand"),
    [
        # 7 images in batches of 4; 2, which are one short batch; 20, which are five full ones
        ("keep", [[4, 3, 4, 3], [2, 2], [4] * 10]),
        ("merge", [[7, 7], [2, 2], [4] * 10]),
        ("drop", [[4, 4], [2, 2], [4] * 10]),
    ],
)
def test_what_becomes_of_the_last_short_batch(rule: LastBatch, by_hand: list[list[int]]) -> None:
    settings = Training(epochs=2, batch_size=4, last_batch=rule)
    work = plan(0, 1, [0, 1, 2], SHARDS, settings)
    assert [sizes(w) for w in work] == by_hand
    assert [w.num_examples for w in work] == [7, 2, 20], "n_k counts what a client holds"
    assert [smallest_batch(len(shard), settings) for shard in SHARDS] == [min(found) for found in by_hand]


@pytest.mark.parametrize(
    ("images", "size", "keep", "merge", "drop"),
    [
        (1, 4, [1], [1], [1]),
        (3, 4, [3], [3], [3]),
        (4, 4, [4], [4], [4]),
        (5, 4, [4, 1], [5], [4]),
        (7, 4, [4, 3], [7], [4]),
        (8, 4, [4, 4], [4, 4], [4, 4]),
        (9, 4, [4, 4, 1], [4, 5], [4, 4]),
        (3, 1, [1, 1, 1], [1, 1, 1], [1, 1, 1]),
    ],
)
def test_each_rule_worked_out_by_hand(
    images: int, size: int, keep: list[int], merge: list[int], drop: list[int]
) -> None:
    for rule, expected in (("keep", keep), ("merge", merge), ("drop", drop)):
        settings = Training.model_validate({"epochs": 1, "batch_size": size, "last_batch": rule})
        (work,) = plan(0, 1, [0], [np.arange(images)], settings)
        assert sizes(work) == expected, rule
        assert smallest_batch(images, settings) == min(expected), rule


def test_the_rules_cut_the_same_order_and_drop_leaves_out_other_images_each_time() -> None:
    kept, merged, dropped = (
        plan(0, 1, [0], SHARDS, Training(epochs=40, batch_size=4, last_batch=rule))[0].batches
        for rule in RULES
    )
    assert torch.equal(torch.cat(kept), torch.cat(merged))
    assert all(torch.equal(one, other) for one, other in zip(kept[::2], dropped, strict=True))
    assert {*torch.cat(dropped).tolist()} == {*range(7)}


@pytest.mark.parametrize("rule", RULES)
def test_where_the_batch_size_divides_the_shard_every_rule_is_the_same(rule: LastBatch) -> None:
    shards = [np.arange(12), np.arange(12, 16), np.arange(16, 18)]
    settings = Training(epochs=2, batch_size=4)
    work = plan(0, 1, [0, 1, 2], shards, settings)
    other = plan(0, 1, [0, 1, 2], shards, settings.model_copy(update={"last_batch": rule}))
    assert all(same(a, b) for a, b in zip(work, other, strict=True))


def test_one_batch_holds_everything_if_it_can() -> None:
    (work,) = plan(0, 1, [0], SHARDS, training(batch_size=256))
    assert sizes(work) == [7]


def test_each_epoch_is_a_new_permutation() -> None:
    (work,) = plan(0, 1, [2], SHARDS, training(epochs=3, batch_size=20))
    orders = [batch.tolist() for batch in work.batches]
    assert len({tuple(order) for order in orders}) == 3
    assert all(order != sorted(order) for order in orders)


@PROPERTY
@given(
    st.lists(st.lists(st.integers(0, 500), min_size=1, max_size=20, unique=True), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(0, 2**32),
    st.integers(1, 1000),
)
def test_each_epoch_visits_every_image_of_the_shard_once(
    shards: list[list[int]], epochs: int, batch_size: int, seed: int, number: int
) -> None:
    arrays = [np.array(sorted(shard)) for shard in shards]
    work = plan(seed, number, range(len(shards)), arrays, training(epochs, batch_size))
    assert [w.client for w in work] == list(range(len(shards)))
    for one, shard in zip(work, shards, strict=True):
        assert one.num_examples == len(shard)
        assert all(batch.dtype == torch.int64 and 1 <= len(batch) <= batch_size for batch in one.batches)
        steps = -(-len(shard) // batch_size)
        assert len(one.batches) == epochs * steps
        for epoch in range(epochs):
            visited = torch.cat(one.batches[epoch * steps : (epoch + 1) * steps])
            assert sorted(visited.tolist()) == sorted(shard)
        assert 0 <= one.seed < 2**63


@pytest.mark.parametrize("clients", [[2], [2, 0], [1, 2], [0, 1, 2]])
def test_a_clients_work_does_not_depend_on_who_else_takes_part(clients: Sequence[int]) -> None:
    (alone,) = plan(0, 1, [2], SHARDS, training(epochs=2))
    work = plan(0, 1, clients, SHARDS, training(epochs=2))
    assert [w.client for w in work] == list(clients)
    assert same(work[list(clients).index(2)], alone)


def test_a_plan_is_a_pure_function_of_its_arguments() -> None:
    torch.manual_seed(1)
    one = plan(5, 3, [0, 1, 2], SHARDS, training(epochs=2))
    torch.manual_seed(2)
    other = plan(5, 3, [0, 1, 2], SHARDS, training(epochs=2))
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_seed_round_and_client_each_change_the_order_and_the_dropout_seed() -> None:
    shards = [np.arange(30)] * 2

    def order(seed: int, number: int, client: int) -> tuple[tuple[int, ...], int]:
        (work,) = plan(seed, number, [client], shards, training(batch_size=30))
        return tuple(work.batches[0].tolist()), work.seed

    found = [order(*names) for names in ((0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1))]
    assert len({batches for batches, _ in found}) == 4
    assert len({dropout for _, dropout in found}) == 4


def test_more_epochs_begin_like_fewer() -> None:
    (short,), (long,) = (plan(0, 1, [2], SHARDS, training(epochs=epochs)) for epochs in (1, 3))
    assert all(torch.equal(a, b) for a, b in zip(short.batches, long.batches, strict=False))


def test_the_batch_size_cuts_the_same_order() -> None:
    (fine,), (coarse,) = (plan(0, 1, [2], SHARDS, training(2, batch_size)) for batch_size in (3, 20))
    assert torch.equal(torch.cat(fine.batches), torch.cat(coarse.batches))


def test_every_image_is_equally_likely_to_come_first() -> None:
    shards, counts = [np.arange(5)], np.zeros(5)
    for number in range(1, 501):
        counts[plan(0, number, [0], shards, training(batch_size=1))[0].batches[0]] += 1
    # 500 / 5 = 100 each, with a standard deviation of 9
    assert counts == pytest.approx(np.full(5, 100), abs=36)


def test_planning_leaves_the_shards_as_they_were() -> None:
    before = [shard.copy() for shard in SHARDS]
    plan(0, 1, [0, 1, 2], SHARDS, training(epochs=2))
    assert all(np.array_equal(a, b) for a, b in zip(SHARDS, before, strict=True))


def test_how_and_from_where_clients_train_changes_no_draw() -> None:
    recipe, start = Recipe(SGD(), lr_scale=0.5), torch.ones(3)
    bare = plan(0, 1, [0, 1, 2], SHARDS, training())
    work = plan(0, 1, [0, 1, 2], SHARDS, training(), recipe, {1: start})
    assert all(same(one, other) for one, other in zip(work, bare, strict=True))
    assert all(job.recipe is recipe for job in work)
    assert [job.start for job in work] == [None, start, None]
    assert all(job.recipe is bare[0].recipe and job.start is None for job in bare)
    assert bare[0].recipe.optimizer == training().optimizer
    assert recipe.lr == 0.5 * SGD().lr
