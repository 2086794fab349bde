"""Data sharing: who holds which images, and its limiting cases, in which it is the split that it wraps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.errors import ConfigError, PartitionError
from fedskew.partition.data_sharing import data_sharing
from fedskew.partition.dirichlet import dirichlet
from fedskew.protocols import Division
from helpers import PROPERTY, view_of

LABELS = np.random.default_rng(0).integers(0, 10, 300)
DIRICHLET = Component(name="dirichlet", alpha=0.3)
SEEDS = st.integers(0, 2**32)
SHARES = st.floats(0, 1)
FRACTIONS = st.floats(0, 0.9)


def split(seed: int = 0, clients: int = 4, labels: np.ndarray = LABELS, **options: Any) -> list[np.ndarray]:
    rule = data_sharing(**{"of": DIRICHLET, **options})
    division = rule.divide(view_of(labels), clients, np.random.default_rng(seed))
    assert isinstance(division, Division)
    return list(division.parts)


def held(parts: list[np.ndarray]) -> list[set[int]]:
    return [set(part.tolist()) for part in parts]


def common(parts: list[np.ndarray]) -> set[int]:
    return set.intersection(*held(parts))


def test_of_ten_images_the_server_keeps_four_and_shares_two() -> None:
    parts = split(labels=np.arange(10) % 2, clients=3, of=Component(name="iid"), fraction=0.4, share=0.5)
    assert [len(part) for part in parts] == [2 + 2] * 3, "6 images over 3 clients, and the same 2 for each"
    assert len(common(parts)) == 2
    assert len(set.union(*held(parts))) == 8, "nobody holds the other 2 of the server's"
    assert {*parts[0][-2:]} == {*parts[2][-2:]} == common(parts), "a client's own come first"


@PROPERTY
@given(FRACTIONS, SHARES, st.integers(2, 9), SEEDS)
def test_every_image_is_one_clients_everybodys_or_nobodys(
    fraction: float, share: float, clients: int, seed: int
) -> None:
    parts = split(seed, clients, fraction=fraction, share=share)
    holders = [sum(position in one for one in held(parts)) for position in range(300)]
    kept = int(fraction * 300 + 1e-9)
    shared = int(share * kept + 1e-9)
    assert holders.count(clients) == shared == len(common(parts))
    assert holders.count(0) == kept - shared
    assert holders.count(1) == 300 - kept
    assert all(len(set(part.tolist())) == len(part) and part.dtype == np.int64 for part in parts)


def test_a_split_that_draws_from_streams_of_its_own_draws_what_it_would_alone() -> None:
    """Itself and ``shuffled`` spawn them, and a generator counts what it has spawned."""
    of = Component(name="data-sharing", fraction=0.2, share=0.5, of={"name": "shuffled", "of": "iid"})
    alone = build_rule("split", of).divide(view_of(LABELS), 4, np.random.default_rng(5))
    found = split(5, of=of, fraction=0.0)
    assert all(np.array_equal(a, b) for a, b in zip(found, alone.parts, strict=True))


@pytest.mark.parametrize("name", ["iid", "dirichlet", "shards", "quantity"])
def test_with_no_fraction_it_is_the_split_that_it_wraps_bit_for_bit(name: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "dirichlet": {"alpha": 0.3},
        "shards": {"classes_per_client": 3},
        "quantity": {"alpha": 1.0},
    }
    of = Component(name=name, **options.get(name, {}))
    alone = split(5, of=of, fraction=0.0, share=0.0)
    for share in (0.5, 1.0):
        found = split(5, of=of, fraction=0.0, share=share)
        assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))
    if name == "dirichlet":
        plain = dirichlet(LABELS, 4, np.random.default_rng(5), alpha=0.3)
        assert all(np.array_equal(a, b) for a, b in zip(alone, plain, strict=True))


@PROPERTY
@given(FRACTIONS, SHARES, SEEDS)
def test_what_clients_have_of_their_own_is_the_split_of_the_images_that_are_left_bit_for_bit(
    fraction: float, share: float, seed: int
) -> None:
    alone = split(seed, fraction=fraction, share=0.0)
    left = np.sort(np.concatenate(alone))
    plain = dirichlet(LABELS[left], 4, np.random.default_rng(seed), alpha=0.3)
    assert all(np.array_equal(a, left[b]) for a, b in zip(alone, plain, strict=True))
    shared = split(seed, fraction=fraction, share=share)
    assert all(np.array_equal(a, b[: len(a)]) for a, b in zip(alone, shared, strict=True))


def test_a_split_that_returns_its_images_in_no_order_keeps_them_so() -> None:
    def backwards(labels: np.ndarray, num_clients: int, rng: Any) -> list[np.ndarray]:
        return np.array_split(np.arange(len(labels))[::-1], num_clients)

    assert np.concatenate(split(of=Component(name=backwards), fraction=0.0)).tolist() == [*range(299, -1, -1)]


@PROPERTY
@given(FRACTIONS, FRACTIONS, SHARES, SHARES, SEEDS)
def test_a_larger_fraction_or_share_adds_to_what_is_shared(
    fraction: float, other: float, share: float, another: float, seed: int
) -> None:
    few = common(split(seed, fraction=min(fraction, other), share=share))
    more = common(split(seed, fraction=max(fraction, other), share=share))
    assert few <= more
    few = common(split(seed, fraction=fraction, share=min(share, another)))
    assert few <= common(split(seed, fraction=fraction, share=max(share, another)))


def test_what_is_shared_is_a_uniform_sample() -> None:
    times = np.zeros(300)
    for seed in range(400):
        times[list(common(split(seed, of=Component(name="iid"), fraction=0.5, share=0.5)))] += 1
    # 400 / 4 = 100 each, with a standard deviation of 9
    assert times.mean() == pytest.approx(100)
    assert np.abs(times - 100).max() < 40


def test_a_client_that_the_split_gives_nothing_has_the_shared_images() -> None:
    parts = split(of=Component(name="dirichlet", alpha=1e-3), clients=20, fraction=0.1, share=1.0)
    assert min(len(part) for part in parts) == 30


def test_one_client_gets_its_own_and_the_shared_images() -> None:
    (only,) = split(clients=1, fraction=0.1, share=0.5)
    assert len(set(only.tolist())) == len(only) == 300 - 30 + 15


def test_it_wraps_itself() -> None:
    inner = Component(name="data-sharing", of={"name": "iid"}, fraction=0.5, share=1.0)
    parts = split(of=inner, fraction=0.1, share=1.0)
    assert len(common(parts)) == 30 + 135
    assert len(set.union(*held(parts))) == 300


def test_what_the_split_cannot_do_is_its_own_error() -> None:
    of = Component(name="dirichlet", alpha=0.3, min_size=70, max_draws=3)
    with pytest.raises(
        PartitionError, match=r"dirichlet with alpha = 0.3 over 4 clients: no split with min_size = 70"
    ):
        split(
            of=of, fraction=0.1, share=1.0
        )  # 270 images do not give 70 to each, whatever is added afterwards


def test_a_split_that_divides_nothing_is_refused_by_its_name() -> None:
    def all_to_all(labels: np.ndarray, num_clients: int, rng: Any) -> list[np.ndarray]:
        return [np.arange(len(labels))] * num_clients

    with pytest.raises(
        ConfigError, match=r"split '.*all_to_all' did not divide the 270 samples.*exactly one client$"
    ):
        split(of=Component(name=all_to_all))
