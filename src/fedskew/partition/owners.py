"""From who owns each image to what each client holds, in time that does not grow with their product."""

from __future__ import annotations

import numpy as np

from fedskew.protocols import IndexArray


def shards_of(owners: IndexArray, num_clients: int) -> list[IndexArray]:
    """One ascending int64 array of positions per client.

    Args:
        owners: int64 [N], the client 0 .. num_clients - 1 that each position belongs to.
    """
    order = np.argsort(owners, kind="stable").astype(np.int64, copy=False)
    ends = np.cumsum(np.bincount(owners, minlength=num_clients)).tolist()
    return [order[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def even_sizes(total: int, parts: int) -> IndexArray:
    """Sizes of ``parts`` parts of ``total`` that differ by at most one, the larger ones first, int64 [parts]."""
    return total // parts + (np.arange(parts) < total % parts).astype(np.int64)
