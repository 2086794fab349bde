"""Sizes by a formula: those of Flower Datasets 0.6.1, and those that can be counted by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedskew.errors import PartitionError
from fedskew.partition.sizes import exponential, linear, log_normal, square

FLOWER: list[tuple[Any, int, int, list[int]]] = [
    (linear, 100, 4, [10, 20, 30, 40]),
    (linear, 1437, 10, [26, 52, 78, 104, 130, 156, 182, 209, 235, 265]),
    (linear, 1000, 7, [35, 71, 107, 142, 178, 214, 253]),
    (square, 100, 4, [3, 13, 30, 54]),
    (square, 1437, 10, [3, 14, 33, 59, 93, 134, 182, 238, 302, 379]),
    (square, 1000, 7, [7, 28, 64, 114, 178, 257, 352]),
    (exponential, 100, 4, [3, 8, 23, 66]),
    (exponential, 1000, 7, [1, 4, 11, 31, 85, 232, 636]),
]
"""What LinearPartitioner, SquarePartitioner and ExponentialPartitioner of flwr-datasets 0.6.1 give."""


def sizes(split: Any, images: int, clients: int, seed: int = 0, **options: Any) -> list[int]:
    labels = np.arange(images) % 10
    parts = split(labels, clients, np.random.default_rng(seed), **options)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(images)), "each image to one client"
    return [len(part) for part in parts]


@pytest.mark.parametrize(("split", "images", "clients", "expected"), FLOWER)
def test_sizes_are_those_of_flower(split: Any, images: int, clients: int, expected: list[int]) -> None:
    assert sizes(split, images, clients) == expected


def test_of_eleven_images_linear_gives_one_three_and_the_rest() -> None:
    # 11/6 = 1.8, 22/6 = 3.7, 33/6 = 5.5: 1, 3, 5, and the 2 that are left to the last
    assert sizes(linear, 11, 3) == [1, 3, 7]


def test_exponential_over_many_clients_leaves_most_without_images() -> None:
    found = sizes(exponential, 1437, 1000)
    assert found[-1] > 0.63 * 1437
    assert found[:900] == [0] * 900


@pytest.mark.parametrize("split", [linear, square, exponential])
def test_one_client_has_everything(split: Any) -> None:
    assert sizes(split, 50, 1) == [50]


@pytest.mark.parametrize("split", [linear, square, exponential])
def test_which_images_a_client_has_is_drawn_uniformly(split: Any) -> None:
    labels = np.repeat(np.arange(2), 500)
    parts = split(labels, 4, np.random.default_rng(0))
    assert abs(labels[parts[-1]].mean() - 0.5) < 4 * math.sqrt(0.25 / len(parts[-1]))


def test_log_normal_with_no_spread_has_equal_sizes() -> None:
    found = sizes(log_normal, 103, 10, sigma=0.0)
    assert sorted(found) == [10] * 7 + [11] * 3


def test_log_normal_sizes_follow_the_draws() -> None:
    drawn = np.random.default_rng(5).standard_normal(6)
    shares = np.exp(0.8 * drawn) / np.exp(0.8 * drawn).sum()
    found = np.array(sizes(log_normal, 10_000, 6, seed=5, sigma=0.8))
    assert np.abs(found - 10_000 * shares).max() <= 1


def test_log_normal_spread_is_sigma() -> None:
    # The logarithm of the sizes, less their mean, has the standard deviation sigma.
    logs = np.log(np.array(sizes(log_normal, 4_000_000, 400, sigma=0.5)))
    assert logs.std() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(800))


def test_log_normal_draws_again_until_each_has_enough() -> None:
    assert min(sizes(log_normal, 200, 5, sigma=1.0, min_size=10)) >= 10
    with pytest.raises(
        PartitionError, match=r"log-normal with sigma = 5 over 5 clients: no split with min_size"
    ):
        sizes(log_normal, 200, 5, sigma=5.0, min_size=38, max_draws=3)
