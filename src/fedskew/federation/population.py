"""The clients with their training data, poisoned where the attack says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedskew.components.returned import checked_shard
from fedskew.federation.spread import Spread
from fedskew.protocols import Attack, Dataset, IndexArray, Shard
from fedskew.seeding import stream


@dataclass(frozen=True)
class Population:
    """The clients with their training data, poisoned where the attack says so.

    Attributes:
        images, labels: uint8 [M, channels, height, width] and int64 [M]: the training set, followed by the
            adversaries' own copies of their images.
        shards: positions in these, one array per client, in the rounds in which adversaries act. In other rounds
            clients train on ``spread.shards``, which are positions in the same tensors.
    """

    images: Tensor
    labels: Tensor
    shards: tuple[IndexArray, ...]
    spread: Spread


def populate(dataset: Dataset, where: Spread, attack: Attack, seed: int, name: str = "") -> Population:
    """Gives out the data; each adversary's shard passes through ``attack.poison`` once.

    Poisoned images are appended to the training set, so that a shard stays an index array.

    Args:
        name: the attack's, for errors.
    """
    images, labels = [dataset.x_train], [dataset.y_train]
    shards, end = list(where.shards), len(dataset.y_train)
    for rank, client in enumerate(where.malicious):
        index = torch.from_numpy(where.shards[client])
        own = Shard(dataset.x_train[index], dataset.y_train[index], rank, len(where.malicious))
        poisoned = checked_shard(
            name, attack.poison(own, stream(seed, "poison", client)), own, dataset.info.num_classes
        )
        images.append(poisoned.images)
        labels.append(poisoned.labels)
        shards[client] = np.arange(end, end + len(poisoned.labels))
        end += len(poisoned.labels)
    if len(images) == 1:
        return Population(dataset.x_train, dataset.y_train, tuple(shards), where)
    return Population(torch.cat(images), torch.cat(labels), tuple(shards), where)
