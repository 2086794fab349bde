"""Label skew with given sizes: each client draws its own mix of classes."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fedskew.errors import PartitionError
from fedskew.partition.own import parts_of
from fedskew.partition.owners import even_sizes
from fedskew.protocols import IndexArray, LabelArray, Rng
from fedskew.wording import count


def inner_dirichlet(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    alpha: Annotated[float, Field(gt=0, le=1e12)],
    sizes: list[Annotated[int, Field(ge=0)]] | None = None,
) -> list[IndexArray]:
    """Each client has a given number of images, and draws the class of each from a distribution of its own.

    Formula: q_k ~ Dirichlet(alpha, ..., alpha) over the C classes, for each client k;
    in random order, each of its n_k places gets an image of a class drawn from q_k, without the classes of which no
    image is left

    Where the images that are left are of classes to which q_k gives no weight (which happens for small alpha), they are
    drawn uniformly. ``dirichlet`` divides classes over clients instead, so that sizes differ.

    Args:
        alpha: the concentration; the smaller, the fewer classes a client mostly holds.
        sizes: n_k of each client, together at most n; what is left is used by nobody. Unset: equal sizes, all images.

    Raises:
        PartitionError: another number of sizes than of clients, or together more images than there are.

    Reference: Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021 (arXiv 2111.04263);
    InnerDirichletPartitioner of Flower Datasets 0.6.1, which picks the next place by client instead.
    """
    given = even_sizes(len(labels), num_clients) if sizes is None else np.array(sizes, dtype=np.int64)
    what = f"inner-dirichlet with alpha = {alpha:g} over {num_clients} clients"
    if len(given) != num_clients:
        raise PartitionError(
            f"{what}: there are {count(len(given), 'size')}; expected one for each of the clients"
        )
    if given.sum() > len(labels):
        raise PartitionError(f"{what}: the sizes add to {given.sum()}, and there are {len(labels)} images")
    classes, kinds = np.unique(labels, return_inverse=True)
    mixes = rng.dirichlet(np.full(len(classes), alpha), size=num_clients)
    places = rng.permutation(np.repeat(np.arange(num_clients), given))
    wanted = _classes(places, mixes, np.bincount(kinds, minlength=len(classes)), rng)
    owners = np.full(len(labels), -1, dtype=np.int64)
    for kind in range(len(classes)):
        clients = places[wanted == kind]
        owners[rng.permutation(np.flatnonzero(kinds == kind))[: len(clients)]] = clients
    return parts_of(owners, np.arange(num_clients))


def _classes(places: IndexArray, mixes: npt.NDArray[np.float64], there: IndexArray, rng: Rng) -> IndexArray:
    """The class of each place, in order, int64 [n].

    All places are drawn at once, up to the one at which a class runs out; those after it are drawn again without it.

    Args:
        places: int64 [n], whose they are.
        mixes: [K, C], the distribution of each client.
        there: int64 [C], images of each class.
    """
    found = np.empty(len(places), dtype=np.int64)
    left, start = there.copy(), 0
    while start < len(places):
        open_ones = np.flatnonzero(left)
        weights = mixes[:, open_ones]
        weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 1.0)
        upto = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
        clients, draws = places[start:], rng.random(len(places) - start)
        beyond = np.zeros(len(draws), dtype=np.int64)
        for column in upto.T[:-1]:
            beyond += draws >= column[clients]
        drawn = open_ones[beyond]
        # The place at which the last image of a class goes, for the class that runs out first.
        lasts = [np.flatnonzero(drawn == kind)[left[kind] - 1 : left[kind]] for kind in open_ones]
        end = int(min((int(last[0]) for last in lasts if len(last)), default=len(drawn) - 1)) + 1
        found[start : start + end] = drawn[:end]
        left -= np.bincount(drawn[:end], minlength=len(left))
        start += end
    return found
