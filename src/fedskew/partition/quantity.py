"""Size skew: how much a client has differs, what it has does not."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.partition.owners import shards_of
from fedskew.partition.rounding import redraw, unbiased_counts
from fedskew.protocols import IndexArray, LabelArray, Rng


def quantity(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    alpha: Annotated[float, Field(gt=0, le=1e12)],
    min_size: Annotated[int, Field(ge=0)] = 0,
    max_draws: Annotated[int, Field(ge=1)] = 1000,
) -> list[IndexArray]:
    """Sizes by one draw, images uniformly at random.

    Formula: p ~ Dirichlet(alpha, ..., alpha);
    n_k = p_k n, of all n images

    Args:
        alpha: the concentration; the smaller, the more uneven the sizes.
        min_size, max_draws: as for ``dirichlet``.

    Raises:
        PartitionError: ``min_size`` was not reached in ``max_draws`` draws.

    Reference: Li, Diao, Chen & He, "Federated Learning on Non-IID Data Silos: An Experimental Study", 2021 (arXiv
    2102.02079; quantity skew).
    """

    def draw() -> list[IndexArray]:
        counts = unbiased_counts(rng.dirichlet(np.full(num_clients, alpha)), len(labels), rng)
        owners = np.empty(len(labels), dtype=np.int64)
        owners[rng.permutation(len(labels))] = np.repeat(np.arange(num_clients), counts)
        return shards_of(owners, num_clients)

    return redraw(draw, min_size, max_draws, f"quantity with alpha = {alpha:g} over {num_clients} clients")
