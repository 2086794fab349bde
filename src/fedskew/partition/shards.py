"""Label skew by classes: each client holds images of a fixed number of classes."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.errors import PartitionError
from fedskew.partition.owners import even_sizes, shards_of
from fedskew.protocols import IndexArray, LabelArray, Rng


def shards(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    classes_per_client: Annotated[int, Field(ge=1)],
) -> list[IndexArray]:
    """Each client holds ``classes_per_client`` classes, each class is held by as equal a number of clients as
    possible, and the holders of a class share its images equally.

    Formula: client k gets n_c / h_c images of each of its classes c, which has n_c images and h_c holders

    Raises:
        PartitionError: more classes per client than there are, or so few that some class has no holder.

    Reference: Li, Diao, Chen & He, "Federated Learning on Non-IID Data Silos: An Experimental Study", 2021 (arXiv
    2102.02079; quantity-based label imbalance).
    """
    classes = np.unique(labels)
    what = f"shards with classes_per_client = {classes_per_client} over {num_clients} clients"
    if classes_per_client > len(classes):
        raise PartitionError(f"{what}: the data has only {len(classes)} classes")
    slots = num_clients * classes_per_client
    if slots < len(classes):
        raise PartitionError(
            f"{what}: {slots} places cannot hold all {len(classes)} classes, "
            f"so some class would have no client",
            "raise classes_per_client or the number of clients",
        )
    quota = np.full(len(classes), slots // len(classes))
    quota[rng.permutation(len(classes))[: slots % len(classes)]] += 1
    holders: list[list[int]] = [[] for _ in classes]
    for client in rng.permutation(num_clients):
        # Taking the classes with the most places left always succeeds, and keeps a client's classes distinct.
        order = np.lexsort((rng.random(len(classes)), -quota))[:classes_per_client]
        quota[order] -= 1
        for position in order:
            holders[position].append(int(client))
    owners = np.empty(len(labels), dtype=np.int64)
    for label, clients in zip(classes, holders, strict=True):
        members = rng.permutation(np.flatnonzero(labels == label))
        owners[members] = np.repeat(clients, even_sizes(len(members), len(clients)))
    return shards_of(owners, num_clients)
