"""Size skew by a formula: how much a client has follows its number or a draw, what it has does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fedskew.partition.owners import shards_of
from fedskew.partition.rounding import redraw, unbiased_counts
from fedskew.protocols import IndexArray, LabelArray, Rng

Shares = npt.NDArray[np.float64]


def linear(labels: LabelArray, num_clients: int, rng: Rng) -> list[IndexArray]:
    """Sizes grow with the client's number, from 1 to K.

    Formula: n_k = floor(n k / (1 + ... + K)), k = 1 .. K; the last client gets what is left as well

    The images are drawn uniformly at random. A client may get none where there are few images for so many clients. The
    fraction is one of floating point, as in Flower, so where it is a whole number a client may get one image less.

    Reference: Beutel et al., "Flower: A Friendly Federated Learning Research Framework", 2020 (LinearPartitioner of
    Flower Datasets 0.6.1, which takes consecutive images instead).
    """
    return _by_number(labels, num_clients, rng, lambda k: float(k))


def square(labels: LabelArray, num_clients: int, rng: Rng) -> list[IndexArray]:
    """Sizes grow with the square of the client's number, from 1 to K.

    Formula: n_k = floor(n k^2 / (1 + ... + K^2)), k = 1 .. K; the last client gets what is left as well

    The images are drawn uniformly at random. A client may get none where there are few images for so many clients.

    Reference: Beutel et al., "Flower: A Friendly Federated Learning Research Framework", 2020 (SquarePartitioner of
    Flower Datasets 0.6.1, which takes consecutive images instead).
    """
    return _by_number(labels, num_clients, rng, lambda k: float(k * k))


def exponential(labels: LabelArray, num_clients: int, rng: Rng) -> list[IndexArray]:
    """Sizes grow exponentially with the client's number, from 1 to K.

    Formula: n_k = floor(n e^k / (e + ... + e^K)), k = 1 .. K; the last client gets what is left as well

    The images are drawn uniformly at random. The last client gets 63 % of them, and of many clients most get none,
    where Flower's raises an error.

    Reference: Beutel et al., "Flower: A Friendly Federated Learning Research Framework", 2020
    (ExponentialPartitioner of Flower Datasets 0.6.1, which takes consecutive images instead).
    """
    return _by_number(labels, num_clients, rng, lambda k: math.exp(k - num_clients))


def log_normal(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    sigma: Annotated[float, Field(ge=0, le=100)],
    min_size: Annotated[int, Field(ge=0)] = 0,
    max_draws: Annotated[int, Field(ge=1)] = 1000,
) -> list[IndexArray]:
    """Sizes by a log-normal draw for each client, images uniformly at random.

    Formula: z_k ~ N(0, 1);
    n_k = n e^(sigma z_k) / sum_j e^(sigma z_j)

    Args:
        sigma: the standard deviation of the logarithm of the sizes; with 0 they differ by one image at most.
        min_size, max_draws: as for ``dirichlet``.

    Raises:
        PartitionError: ``min_size`` was not reached in ``max_draws`` draws.

    Reference: Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021 (unbalanced data).
    """

    def draw() -> list[IndexArray]:
        logs = sigma * rng.standard_normal(num_clients)
        shares = _of_each(math.exp, logs - logs.max())
        return _uniform(unbiased_counts(shares / shares.sum(), len(labels), rng), rng)

    return redraw(draw, min_size, max_draws, f"log-normal with sigma = {sigma:g} over {num_clients} clients")


def _by_number(
    labels: LabelArray, num_clients: int, rng: Rng, units: Callable[[int], float]
) -> list[IndexArray]:
    shares = np.array([units(k) for k in range(1, num_clients + 1)])
    sizes = (shares / shares.sum() * len(labels)).astype(np.int64)
    sizes[-1] += len(labels) - sizes.sum()
    return _uniform(sizes, rng)


def _uniform(sizes: IndexArray, rng: Rng) -> list[IndexArray]:
    """So many images for each client, drawn uniformly at random from as many as there are together."""
    owners = np.empty(sizes.sum(), dtype=np.int64)
    owners[rng.permutation(len(owners))] = np.repeat(np.arange(len(sizes)), sizes)
    return shards_of(owners, len(sizes))


def _of_each(function: Callable[[float], float], values: Shares) -> Shares:
    """A function of ``math`` of each number, [n]: NumPy's differ in the last bits between processors."""
    return np.fromiter(map(function, values.tolist()), np.float64, len(values))
