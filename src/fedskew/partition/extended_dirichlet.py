"""Label skew in two steps: which classes a client holds, then how much of each."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.errors import PartitionError
from fedskew.partition.owners import shards_of
from fedskew.partition.rounding import redraw, unbiased_counts
from fedskew.protocols import IndexArray, LabelArray, Rng
from fedskew.wording import count


def extended_dirichlet(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    classes_per_client: Annotated[int, Field(ge=1)],
    alpha: Annotated[float, Field(gt=0, le=1e12)],
    min_size: Annotated[int, Field(ge=0)] = 0,
    max_draws: Annotated[int, Field(ge=1)] = 1000,
) -> list[IndexArray]:
    """Each client is given some classes, and each class is divided over its holders by a draw of its own.

    Formula: client k holds classes_per_client of the C classes, drawn uniformly;
    p ~ Dirichlet(alpha, ..., alpha) over the h_c holders of each class c;
    holder j gets p_j of the images of the class

    With classes_per_client = C it is ``dirichlet``. The classes are drawn again until each has a holder. The paper's
    code also stops giving a client more once it has its even share of the images, which is left out here: the formula
    in the paper does not have it.

    Args:
        classes_per_client: at most C.
        alpha: the concentration; the larger, the more evenly the holders of a class share it.
        min_size: the least number of images of a client; the whole split is redrawn until it holds.
        max_draws: how often at most, of the classes and of the split.

    Raises:
        PartitionError: more classes per client than there are, so few that some class has no holder, or ``min_size``
            was not reached in ``max_draws`` draws.

    Reference: Li & Lyu, "Convergence Analysis of Sequential Federated Learning on Heterogeneous Data", NeurIPS 2023
    (arXiv 2311.03154; extended Dirichlet strategy).
    """
    classes = np.unique(labels)
    what = (
        f"extended-dirichlet with classes_per_client = {classes_per_client} and alpha = {alpha:g} over "
        f"{num_clients} clients"
    )
    if classes_per_client > len(classes):
        raise PartitionError(f"{what}: the data has only {count(len(classes), 'class', 'classes')}")

    def held() -> list[IndexArray]:
        for _ in range(max_draws):
            table = np.zeros((num_clients, len(classes)), dtype=np.bool_)
            for client in range(num_clients):
                table[client, rng.choice(len(classes), size=classes_per_client, replace=False)] = True
            if table.any(axis=0).all():
                return [np.flatnonzero(column) for column in table.T]
        raise PartitionError(
            f"{what}: in {max_draws} draws some class was given to no client",
            "raise classes_per_client or the number of clients",
        )

    def draw() -> list[IndexArray]:
        owners = np.empty(len(labels), dtype=np.int64)
        for label, holders in zip(classes, held(), strict=True):
            members = rng.permutation(np.flatnonzero(labels == label))
            counts = unbiased_counts(rng.dirichlet(np.full(len(holders), alpha)), len(members), rng)
            owners[members] = np.repeat(holders, counts)
        return shards_of(owners, num_clients)

    return redraw(draw, min_size, max_draws, what)
