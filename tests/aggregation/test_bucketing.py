"""Bucketing: who is averaged with whom, and what becomes of ids and numbers of examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation.bucketing import bucketing
from fedskew.protocols import ClientUpdates
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def bucketed(updates: ClientUpdates, size: int, seed: int = 0) -> ClientUpdates:
    return bucketing(updates, VIEW, np.random.default_rng(seed), size=size)


def test_by_hand_in_the_order_of_the_rng() -> None:
    order = np.random.default_rng(0).permutation(5).tolist()
    rows, sizes = [1.0, 10.0, 100.0, 1000.0, 10000.0], [1, 2, 4, 8, 16]
    found = bucketed(client_updates([[x] for x in rows], sizes), 2)
    pairs = [order[:2], order[2:4], order[4:]]
    assert found.deltas.flatten().tolist() == [sum(rows[i] for i in pair) / len(pair) for pair in pairs]
    assert found.num_examples.tolist() == [sum(sizes[i] for i in pair) for pair in pairs]
    assert found.client_ids.tolist() == [
        -1,
        -1,
        order[4],
    ]  # a client that is alone in its bucket is still itself


def test_size_1_leaves_the_updates_as_they_are() -> None:
    updates = client_updates([[1.0], [2.0]])
    assert bucketed(updates, 1) is updates


def test_one_bucket_for_all_is_the_mean() -> None:
    found = bucketed(client_updates([[1.0, 0], [3, 6]], (5, 7)), 10)
    assert (found.deltas.tolist(), found.num_examples.tolist(), found.client_ids.tolist()) == (
        [[2, 3]],
        [12],
        [-1],
    )


def test_what_clients_send_beside_their_update_is_left_behind() -> None:
    updates = ClientUpdates(
        torch.ones(2, 3),
        torch.tensor([1, 2]),
        torch.tensor([0, 1]),
        torch.ones(2),
        torch.ones(2),
        {"c": torch.ones(2)},
    )
    found = bucketed(updates, 2)
    assert (found.steps, found.losses, dict(found.uploads)) == (None, None, {})
    assert set(updates.uploads) == {"c"}


@PROPERTY
@given(delta_matrices(), st.integers(1, 8), st.integers(0, 100))
def test_every_client_is_in_exactly_one_bucket(deltas: np.ndarray, size: int, seed: int) -> None:
    count = len(deltas)
    sizes = [2**k for k in range(count)]  # a sum of these says which they are
    found = bucketed(client_updates(deltas, sizes), size, seed)
    members = [[k for k in range(count) if n >> k & 1] for n in found.num_examples.tolist()]
    assert sorted(k for bucket in members for k in bucket) == list(range(count))
    assert [len(bucket) for bucket in members] == [min(size, count - i) for i in range(0, count, size)]
    for row, bucket in zip(found.deltas, members, strict=True):
        scale = float(np.abs(deltas).max()) + 1
        assert row.numpy() == pytest.approx(
            deltas[bucket].astype(np.float64).mean(0), rel=1e-5, abs=1e-6 * scale
        )
