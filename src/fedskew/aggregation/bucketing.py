"""Bucketing: clients are averaged in small groups before they are compared (ICLR 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from fedskew.portable import row_mean
from fedskew.protocols import ClientUpdates, Rng, ServerView


def bucketing(
    updates: ClientUpdates, view: ServerView, rng: Rng, *, size: Annotated[int, Field(ge=1)] = 2
) -> ClientUpdates:
    """The unweighted means of buckets of ``size`` clients drawn at random, [ceil(S / size), P].

    Formula: delta_b = sum_{i in b} delta_i / |b| for each bucket b of a random permutation

    The last bucket may be smaller. A bucket has the sum of its clients' numbers of examples and the id -1; one with a
    single client keeps its id. Steps, losses and uploads are dropped. f malicious clients affect at most f
    buckets, so a rule after it keeps its f.

    Args:
        size: clients in a bucket; 1 leaves the updates as they are.

    Reference: Karimireddy, He & Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022,
    Algorithm 1.

    The mean over buckets of equal size is the mean over the clients, whichever clients share a bucket.

    >>> from fedskew import aggregate
    >>> matrix = [[1.0, 0.0], [3.0, 0.0], [0.0, 8.0], [0.0, 0.0]]
    >>> aggregate("mean", matrix, transforms=[{"name": "bucketing", "size": 2}])
    tensor([1., 2.])
    """
    if size == 1:
        return updates
    count = len(updates.deltas)
    order = torch.from_numpy(rng.permutation(count)).to(updates.deltas.device)
    buckets = torch.split(order, size)
    ids = updates.client_ids
    return replace(
        updates,
        deltas=torch.stack([row_mean(updates.deltas[bucket]) for bucket in buckets]),
        num_examples=torch.stack([updates.num_examples[bucket].sum() for bucket in buckets]),
        client_ids=torch.stack(
            [ids[b.to(ids.device)[0]] if len(b) == 1 else ids.new_tensor(-1) for b in buckets]
        ),
        steps=None,
        losses=None,
        uploads={},
        start_losses=None,
    )
