"""Which of the clients that are there take part in a run with fewer, and what each of them has."""

from __future__ import annotations

import numpy as np

from fedskew.errors import PartitionError
from fedskew.protocols import IndexArray, Rng
from fedskew.wording import count


def taking_part(there: int, num_clients: int, rng: Rng, what: str) -> IndexArray:
    """The numbers of the clients that take part, ascending, int64 [num_clients]: all of them, or a uniform sample.

    Args:
        there: how many clients there are.
        what: has them, as the beginning of a sentence, for the error.

    Raises:
        PartitionError: there are fewer than are to take part.
    """
    if num_clients > there:
        raise PartitionError(
            f"{what} has {count(there, 'client')}, and this split is over {num_clients}",
            f"lower clients.count by {num_clients - there}",
        )
    if num_clients == there:
        return np.arange(there, dtype=np.int64)
    return np.sort(rng.choice(there, size=num_clients, replace=False)).astype(np.int64)


def parts_of(owners: IndexArray, clients: IndexArray) -> list[IndexArray]:
    """The places of each of these clients' images, one ascending int64 array per client.

    Args:
        owners: int64 [N], the number of the client that each image belongs to; -1 for nobody.
        clients: int64 [K], distinct numbers, ascending.
    """
    order = np.argsort(owners, kind="stable").astype(np.int64, copy=False)
    first = np.searchsorted(owners[order], clients, side="left").tolist()
    last = np.searchsorted(owners[order], clients, side="right").tolist()
    return [order[start:end] for start, end in zip(first, last, strict=True)]
