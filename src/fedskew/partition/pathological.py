"""Label skew by classes that are assigned to each client by itself, so that some class may have no client."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field

from fedskew.errors import PartitionError
from fedskew.partition.owners import even_sizes
from fedskew.protocols import IndexArray, LabelArray, Rng
from fedskew.wording import count

Assignment: TypeAlias = Literal["random", "deterministic", "first-deterministic"]


def pathological(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    classes_per_client: Annotated[int, Field(ge=1)],
    assignment: Assignment = "random",
) -> list[IndexArray]:
    """Each client gets its own ``classes_per_client`` classes; the holders of a class share its images equally.

    Formula: client k gets n_c / h_c images of each of its classes c, which has n_c images and h_c holders;
    deterministic: its classes are k, k + 1, ..., modulo C

    Unlike ``shards``, nothing balances the classes: one may have many holders, another none, and then nobody uses its
    images.

    Args:
        assignment: ``"random"``: distinct classes, drawn uniformly. ``"deterministic"``: consecutive ones, client 0
            beginning with the first. ``"first-deterministic"``: the first class as there, the others drawn; with as
            many clients as classes every class has a holder.

    Raises:
        PartitionError: more classes per client than there are, or fewer images of a class than holders.

    Reference: PathologicalPartitioner of Flower Datasets 0.6.1, after Li, Diao, Chen & He, "Federated Learning on
    Non-IID Data Silos: An Experimental Study", 2021 (arXiv 2102.02079), who take first-deterministic.
    """
    classes = np.unique(labels)
    what = f"pathological with classes_per_client = {classes_per_client} over {num_clients} clients"
    if classes_per_client > len(classes):
        raise PartitionError(f"{what}: the data has only {count(len(classes), 'class', 'classes')}")
    held = np.zeros((num_clients, len(classes)), dtype=np.bool_)
    for client in range(num_clients):
        held[client, _places(client, len(classes), classes_per_client, assignment, rng)] = True
    parts: list[list[IndexArray]] = [[] for _ in range(num_clients)]
    for place, label in enumerate(classes):
        members, holders = np.flatnonzero(labels == label), np.flatnonzero(held[:, place])
        if len(holders) > len(members):
            raise PartitionError(
                f"{what}: class {label} has {count(len(members), 'image')} for {len(holders)} holders",
                'fewer clients or classes_per_client, or assignment = "deterministic"',
            )
        if len(holders):
            ends = np.cumsum(even_sizes(len(members), len(holders)))[:-1]
            for client, piece in zip(holders.tolist(), np.split(rng.permutation(members), ends), strict=True):
                parts[client].append(piece)
    return [np.sort(np.concatenate(mine)) for mine in parts]


def _places(client: int, classes: int, many: int, assignment: Assignment, rng: Rng) -> IndexArray:
    """Which of the classes a client holds, distinct."""
    first = client % classes
    if assignment == "deterministic":
        return (first + np.arange(many)) % classes
    if assignment == "random":
        return rng.choice(classes, size=many, replace=False)
    others = rng.choice(classes - 1, size=many - 1, replace=False)
    return np.append(others + (others >= first), first)
