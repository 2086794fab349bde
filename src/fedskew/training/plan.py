"""The batch plan: who trains on which images in which order, computed before any arithmetic.

Batch order depends only on seed, round and client, not on how clients are grouped or which engine trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedskew.config import Training
from fedskew.protocols import IndexArray
from fedskew.seeding import stream, stream_seed
from fedskew.training.recipe import Recipe


@dataclass(frozen=True)
class ClientWork:
    """One client's local training in one round.

    Attributes:
        client: its id.
        batches: int64 positions in the population's images, one tensor per step; the last of each epoch may
            be shorter or longer than the others.
        seed: of the client's own draws in this round (dropout masks).
        num_examples: n_k, the size of its shard.
        recipe: how it trains; clients that train alike share one.
        start: float32 [P], the weights that it starts from; None for the global ones.
        logit_map: float32 [2, C], the scales and offsets of its logits while it trains; None for the logits alone.
        buffers: float32 [B], the buffers that it starts from; None for the global ones.
    """

    client: int
    batches: tuple[Tensor, ...]
    seed: int
    num_examples: int
    recipe: Recipe
    start: Tensor | None = None
    logit_map: Tensor | None = None
    buffers: Tensor | None = None


def cut(images: int, training: Training) -> tuple[int, int]:
    """Into how many batches an epoch over so many images is cut, all but the last full, and the size of the last.

    With n images in batches of B, by ``training.last_batch``:

    - keep: ceil(n / B) batches, the last of n - (steps - 1) B images;
    - merge: floor(n / B), at least one; the last has the rest too, up to 2 B - 1 images;
    - drop: floor(n / B), at least one, the last of min(n, B) images.

    >>> [cut(7, Training(batch_size=3, last_batch=rule)) for rule in ("keep", "merge", "drop")]
    [(3, 1), (2, 4), (2, 3)]

    Args:
        images: n, at least 1.
    """
    size = training.batch_size
    steps = -(-images // size) if training.last_batch == "keep" else max(1, images // size)
    last = min(images, size) if training.last_batch == "drop" else images - (steps - 1) * size
    return steps, last


def smallest_batch(images: int, training: Training) -> int:
    """The fewest images of any batch of an epoch over so many images, at least 1."""
    steps, last = cut(images, training)
    return min(last, training.batch_size) if steps > 1 else last


def plan(
    seed: int,
    round_number: int,
    clients: Sequence[int],
    shards: Sequence[IndexArray] | Mapping[int, IndexArray],
    training: Training,
    recipe: Recipe | None = None,
    starts: Mapping[int, Tensor] | None = None,
    purpose: str = "",
) -> list[ClientWork]:
    """The work of the given clients in a round: each epoch a fresh permutation of the shard, ``cut`` into batches.

    Args:
        clients: none of them without data.
        recipe: how all of them train; by default the configured optimiser and nothing else.
        starts: float32 [P] by client, the weights that it starts from; others start from the global ones.
        purpose: of other training than a client's for the round, which then draws from streams of its own.
    """
    recipe = recipe or Recipe(training.optimizer)
    starts = starts or {}
    work = []
    for client in clients:
        shard = shards[client]
        rng = stream(seed, f"{purpose}batches", round_number, client)
        steps, last = cut(len(shard), training)
        sizes = [training.batch_size] * (steps - 1) + [last]
        visited = sum(sizes)
        orders = [shard[rng.permutation(len(shard))[:visited]] for _ in range(training.epochs)]
        visits = torch.from_numpy(np.concatenate(orders).astype(np.int64, copy=False))
        batches = visits.split_with_sizes(sizes * training.epochs)
        dropout = stream_seed(seed, f"{purpose}dropout", round_number, client)
        start = starts.get(client)
        work.append(ClientWork(client, tuple(batches), dropout, len(shard), recipe, start))
    return work
