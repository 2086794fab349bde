"""Label skew by sorting: a part of the images is spread evenly, the rest by label."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.partition.owners import even_sizes, shards_of
from fedskew.protocols import IndexArray, LabelArray, Rng
from fedskew.rounding import whole


def similarity(
    labels: LabelArray, num_clients: int, rng: Rng, *, gamma: Annotated[float, Field(ge=0, le=1)]
) -> list[IndexArray]:
    """A share gamma of the images is spread uniformly at random, the rest in the order of their labels.

    Formula: floor(gamma n) images, drawn uniformly: equal shares of them for each client;
    the others, sorted by label: client k gets the k-th of K equal pieces

    Sizes differ by at most one image.

    Args:
        gamma: 1 is the split of ``iid``; with 0 each client holds a few classes that follow one another.

    Reference: Karimireddy et al., "SCAFFOLD", ICML 2020, section 7 ("s% similarity"); Hsieh et al., "The Non-IID Data
    Quagmire of Decentralized Machine Learning", ICML 2020 (20-80 % non-IID).
    """
    order = rng.permutation(len(labels))
    even = whole(gamma * len(labels))
    spread = even_sizes(even, num_clients)
    pieces = even_sizes(len(labels), num_clients) - spread
    ordered = order[even:][np.argsort(labels[order[even:]], kind="stable")]
    owners = np.empty(len(labels), dtype=np.int64)
    owners[order[:even]] = np.repeat(np.arange(num_clients), spread)
    owners[ordered] = np.repeat(np.arange(num_clients), pieces)
    return shards_of(owners, num_clients)
