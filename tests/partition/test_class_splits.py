"""Splits by classes: assigned (pathological, extended Dirichlet), sorted (similarity), drawn by each client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.errors import PartitionError
from fedskew.partition.dirichlet import dirichlet
from fedskew.partition.extended_dirichlet import extended_dirichlet
from fedskew.partition.heterogeneity import heterogeneity, label_counts
from fedskew.partition.iid import iid
from fedskew.partition.inner_dirichlet import inner_dirichlet
from fedskew.partition.pathological import pathological
from fedskew.partition.similarity import similarity
from helpers import PROPERTY

SEEDS = st.integers(0, 2**32)
UNEVEN = np.repeat(np.arange(4), [10, 7, 9, 5])
TEN = np.repeat(np.arange(10), 200)


def table(split: Any, labels: np.ndarray, clients: int, seed: int = 0, **options: Any) -> np.ndarray:
    parts = split(labels, clients, np.random.default_rng(seed), **options)
    taken = np.concatenate(parts)
    assert len(parts) == clients
    assert len(np.unique(taken)) == len(taken), "no image is two clients'"
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    return label_counts(labels, parts, int(labels.max()) + 1)


# --- pathological -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "classes", "assignment", "expected"),
    [
        (5, 2, "deterministic", [[4, 3, 0, 0], [0, 2, 5, 0], [0, 0, 4, 3], [3, 0, 0, 2], [3, 2, 0, 0]]),
        (3, 1, "deterministic", [[10, 0, 0, 0], [0, 7, 0, 0], [0, 0, 9, 0]]),
        (5, 4, "random", [[2, 2, 2, 1], [2, 2, 2, 1], [2, 1, 2, 1], [2, 1, 2, 1], [2, 1, 1, 1]]),
    ],
)
def test_counts_are_those_of_flower(
    clients: int, classes: int, assignment: str, expected: list[list[int]]
) -> None:
    """PathologicalPartitioner of flwr-datasets 0.6.1, where its own draws do not matter."""
    found = table(pathological, UNEVEN, clients, classes_per_client=classes, assignment=assignment)
    assert found.tolist() == expected


def test_a_class_without_a_holder_is_left_out() -> None:
    parts = pathological(
        UNEVEN, 2, np.random.default_rng(0), classes_per_client=1, assignment="deterministic"
    )
    assert {*UNEVEN[np.concatenate(parts)].tolist()} == {0, 1}


@PROPERTY
@given(SEEDS, st.integers(1, 4), st.integers(1, 5), st.sampled_from(["random", "first-deterministic"]))
def test_every_client_has_its_number_of_classes(
    seed: int, classes: int, clients: int, assignment: str
) -> None:
    found = table(pathological, UNEVEN, clients, seed, classes_per_client=classes, assignment=assignment)
    assert ((found > 0).sum(axis=1) == classes).all()
    if assignment == "first-deterministic":
        assert all(found[client, client % 4] for client in range(clients))
    held = found.sum(axis=0)
    assert ((held == 0) | (held == np.bincount(UNEVEN))).all(), "a class is used whole or not at all"


def test_random_classes_are_uniform() -> None:
    held = [table(pathological, TEN, 20, seed, classes_per_client=3) > 0 for seed in range(50)]
    times = np.sum(held, axis=(0, 1))
    # 1,000 clients with 3 of 10 classes: 300 each, with a standard deviation of 14.5
    assert np.abs(times - 300).max() < 60


def test_what_pathological_cannot_do() -> None:
    with pytest.raises(PartitionError, match="the data has only 4 classes"):
        table(pathological, UNEVEN, 3, classes_per_client=5)
    with pytest.raises(PartitionError, match="class 3 has 5 images for 6 holders"):
        table(pathological, UNEVEN, 6, classes_per_client=4)


# --- extended Dirichlet -----------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.integers(2, 6), st.integers(4, 8))
def test_no_client_has_more_classes_than_it_was_given(seed: int, classes: int, clients: int) -> None:
    found = table(extended_dirichlet, TEN, clients, seed, classes_per_client=min(classes + 2, 10), alpha=1.0)
    assert found.sum() == len(TEN), "every image is used"
    assert ((found > 0).sum(axis=1) <= min(classes + 2, 10)).all()


def test_with_a_large_alpha_the_holders_of_a_class_share_it_equally() -> None:
    found = table(extended_dirichlet, TEN, 6, classes_per_client=5, alpha=1e9)
    for column in found.T:
        there = column[column > 0]
        assert there.max() - there.min() <= 1


def test_with_all_classes_it_is_as_skewed_as_dirichlet() -> None:
    def mean(split: Any, **options: Any) -> float:
        found = [
            heterogeneity(table(split, TEN, 10, s, alpha=0.3, **options)).total_variation for s in range(40)
        ]
        return float(np.mean(found))

    # Each of the two means has a standard error of about 0.006.
    assert mean(extended_dirichlet, classes_per_client=10) == pytest.approx(mean(dirichlet), abs=0.03)


def test_what_extended_dirichlet_cannot_do() -> None:
    with pytest.raises(PartitionError, match="the data has only 10 classes"):
        table(extended_dirichlet, TEN, 3, classes_per_client=11, alpha=1.0)
    with pytest.raises(PartitionError, match="in 5 draws some class was given to no client"):
        table(extended_dirichlet, TEN, 3, classes_per_client=3, alpha=1.0, max_draws=5)


# --- inner Dirichlet --------------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.floats(1e-3, 1e3), st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_every_client_has_its_size(seed: int, alpha: float, sizes: list[int]) -> None:
    found = table(inner_dirichlet, TEN, len(sizes), seed, alpha=alpha, sizes=sizes)
    assert found.sum(axis=1).tolist() == sizes
    assert (found.sum(axis=0) <= 200).all()


def test_without_sizes_all_images_are_shared_equally() -> None:
    assert table(inner_dirichlet, UNEVEN, 4, alpha=0.1).sum(axis=1).tolist() == [8, 8, 8, 7]


@pytest.mark.parametrize(("size", "largest", "variation"), [(100, 0.473, 0.524), (200, 0.370, 0.475)])
def test_it_is_as_skewed_as_flowers(size: int, largest: float, variation: float) -> None:
    """Means over seeds of InnerDirichletPartitioner of flwr-datasets 0.6.1 (standard errors below 0.009): the share of
    a client's largest class, and the total variation distance, with alpha = 0.3 over 10 clients."""
    found = [table(inner_dirichlet, TEN, 10, seed, alpha=0.3, sizes=[size] * 10) / size for seed in range(40)]
    assert np.mean([t.max(axis=1).mean() for t in found]) == pytest.approx(largest, abs=0.03)
    apart = [0.5 * np.abs(t - t.mean(axis=0)).sum(axis=1).mean() for t in found]
    assert np.mean(apart) == pytest.approx(variation, abs=0.03)


def test_with_a_large_alpha_every_mix_is_that_of_equal_classes() -> None:
    found = table(inner_dirichlet, TEN, 2, alpha=1e9, sizes=[500, 500])
    assert np.abs(found - 50).max() < 5 * np.sqrt(50)


def test_what_inner_dirichlet_cannot_do() -> None:
    with pytest.raises(PartitionError, match="there are 2 sizes; expected one for each of the clients"):
        table(inner_dirichlet, TEN, 3, alpha=1.0, sizes=[1, 2])
    with pytest.raises(PartitionError, match="the sizes add to 2001, and there are 2000 images"):
        table(inner_dirichlet, TEN, 2, alpha=1.0, sizes=[2000, 1])


# --- similarity -------------------------------------------------------------------------------------


def test_without_similarity_each_client_holds_a_piece_of_the_sorted_images() -> None:
    found = table(similarity, UNEVEN, 4, gamma=0.0)
    # 31 images: pieces of 8, 8, 8, 7 of 10 x 0, 7 x 1, 9 x 2, 5 x 3
    assert found.tolist() == [[8, 0, 0, 0], [2, 6, 0, 0], [0, 1, 7, 0], [0, 0, 2, 5]]


@PROPERTY
@given(SEEDS, st.floats(0, 1), st.integers(1, 9))
def test_sizes_are_equal_and_every_image_is_used(seed: int, gamma: float, clients: int) -> None:
    sizes = table(similarity, UNEVEN, clients, seed, gamma=gamma).sum(axis=1)
    assert sizes.sum() == len(UNEVEN)
    assert sizes.max() - sizes.min() <= 1


def test_with_full_similarity_it_is_iid_bit_for_bit() -> None:
    found = similarity(UNEVEN, 4, np.random.default_rng(3), gamma=1.0)
    expected = iid(UNEVEN, 4, np.random.default_rng(3))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_skew_falls_as_the_similarity_rises() -> None:
    found = [heterogeneity(table(similarity, TEN, 10, gamma=g)).total_variation for g in (0.0, 0.3, 0.7, 1.0)]
    assert found[0] == pytest.approx(0.9)
    assert found == sorted(found, reverse=True)
    # 30 % of a client's images are of all classes, so at most 0.7 of the distance is left; less, since classes of
    # which unequally many are left no longer end where pieces do.
    assert 0.5 < found[1] < 0.7 * 0.9
    assert found[3] < 0.12
