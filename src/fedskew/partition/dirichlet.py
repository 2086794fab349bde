"""Label skew by the Dirichlet distribution: the paper's split (section III; protocol of the authors' code)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fedskew.partition.owners import shards_of
from fedskew.partition.rounding import redraw, unbiased_counts
from fedskew.protocols import IndexArray, LabelArray, Rng


def dirichlet(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    alpha: Annotated[float, Field(gt=0, le=1e12)],
    remainder: Literal["first", "unbiased"] = "unbiased",
    min_size: Annotated[int, Field(ge=0)] = 0,
    max_draws: Annotated[int, Field(ge=1)] = 1000,
) -> list[IndexArray]:
    """Each class is divided over the clients by a draw of its own.

    Formula: p ~ Dirichlet(alpha, ..., alpha) for each class;
    client k gets p_k of the images of the class

    Args:
        alpha: the concentration; the smaller, the fewer classes a client mostly holds.
        remainder: ``"unbiased"``: every client's expected count is p_k * n_class, its count within 1 of it.
            ``"first"``: each client gets floor(p_k * n_class) images and the first one the rest of up to K-1 images
            per class (the authors' code; with many clients it may hold most of the data).
        min_size: the least number of images of a client; the whole split is redrawn until it holds.
        max_draws: how often at most.

    Raises:
        PartitionError: ``min_size`` was not reached in ``max_draws`` draws.

    Reference: Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated
    Learning", 2021, section III; Li, Diao, Chen & He, "Federated Learning on Non-IID Data Silos: An Experimental
    Study", 2021 (arXiv 2102.02079; distribution-based label imbalance).
    """
    classes = np.unique(labels)

    def draw() -> list[IndexArray]:
        owners = np.empty(len(labels), dtype=np.int64)
        for label in classes:
            members = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(num_clients, alpha))
            if remainder == "first":
                counts = np.floor(shares * len(members)).astype(np.int64)
                counts[0] += len(members) - counts.sum()
            else:
                counts = unbiased_counts(shares, len(members), rng)
            owners[members] = np.repeat(np.arange(num_clients), counts)
        return shards_of(owners, num_clients)

    return redraw(draw, min_size, max_draws, f"dirichlet with alpha = {alpha:g} over {num_clients} clients")
