"""The batch plan: who trains on which images in which order, computed before any arithmetic.

Batch order depends on seed, round and client alone, never on how clients are grouped or which engine trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedskew.config import Training
from fedskew.protocols import IndexArray
from fedskew.seeding import stream, stream_seed


@dataclass(frozen=True)
class ClientWork:
    """One client's local training in one round.

    Attributes:
        client: its id.
        batches: int64 positions in the population's images, one tensor per step; the last of each epoch may
            be short.
        seed: of the client's own draws in this round (dropout masks).
        num_examples: n_k, the size of its shard.
    """

    client: int
    batches: tuple[Tensor, ...]
    seed: int
    num_examples: int


def plan(
    seed: int, round_number: int, clients: Sequence[int], shards: Sequence[IndexArray], training: Training
) -> list[ClientWork]:
    """The work of the given clients in a round: each epoch a fresh permutation of the shard, cut into batches.

    Args:
        clients: none of them without data.
    """
    work = []
    for client in clients:
        shard = shards[client]
        rng = stream(seed, "batches", round_number, client)
        batches: list[Tensor] = []
        for _ in range(training.epochs):
            order = torch.from_numpy(shard[rng.permutation(len(shard))].astype(np.int64, copy=False))
            batches += torch.split(order, training.batch_size)
        dropout = stream_seed(seed, "dropout", round_number, client)
        work.append(ClientWork(client, tuple(batches), dropout, len(shard)))
    return work
