"""The clients with their training data: shifted, with the planted property, poisoned where the attack says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from fedskew.components.returned import checked_shard
from fedskew.federation.planting import Planted
from fedskew.federation.poisoning import Poisoning
from fedskew.federation.shifting import Shifted
from fedskew.federation.spread import Spread
from fedskew.protocols import Attack, Dataset, IndexArray, Shard, keep_shard
from fedskew.seeding import stream


@dataclass(frozen=True)
class Population:
    """The clients with their training data, poisoned where the attack says so, with the property that is planted.

    Attributes:
        images, labels: uint8 [M, channels, height, width] and int64 [M]: the training set, followed by the copies
            that are shifted or have the planted property and the adversaries' own copies of their images.
        shards: positions in these, one array per client, in the rounds in which adversaries act.
        unpoisoned: the same in all other rounds.
        poisoning: what was done to the images of each adversary; empty where the attack poisons no data.
        planted: the property that some honest clients' images have; None if there is none.
        shifted: what became of the data of each honest client that has some; empty where nothing is shifted.
    """

    images: Tensor
    labels: Tensor
    shards: tuple[IndexArray, ...]
    unpoisoned: tuple[IndexArray, ...]
    spread: Spread
    poisoning: tuple[Poisoning, ...] = ()
    planted: Planted | None = None
    shifted: Mapping[int, Shifted] = field(default_factory=dict)

    def members(self, client: int) -> IndexArray:
        """Positions in the training set of what a client trains on, without shared images and without those of which
        it trains on an altered copy."""
        own = self.spread.own(client)
        places = self.planted.places.get(client) if self.planted else None
        return own if places is None else own[~np.isin(own, self.spread.shards[client][places])]


def populate(
    dataset: Dataset,
    where: Spread,
    attack: Attack,
    seed: int,
    name: str = "",
    planted: Planted | None = None,
    shifted: Mapping[int, Shifted] | None = None,
) -> Population:
    """Gives out the data; each adversary's shard passes through ``attack.poison`` once.

    Altered and poisoned images are appended to the training set, so that a shard stays an index array.

    Args:
        name: the attack's, for errors.
        planted: the property that some honest clients' images have.
        shifted: what the data of honest clients is like.
    """
    images, labels = [dataset.x_train], [dataset.y_train]
    shards, end, done = list(where.shards), len(dataset.y_train), []
    for client, places, altered, called in _altered(dataset, where, planted, shifted or {}):
        images.append(altered)
        labels.append(called)
        shards[client] = where.shards[client].copy()
        shards[client][places] = np.arange(end, end + len(places))
        end += len(places)
    unpoisoned = tuple(shards)
    for client, made, what in poisoned_shards(dataset, where, attack, seed, name):
        images.append(made.images)
        labels.append(made.labels)
        shards[client] = np.arange(end, end + len(made.labels))
        end += len(made.labels)
        done.append(what)
    poisoning = tuple(done) if attack.poison is not keep_shard else ()
    if len(images) == 1:
        return Population(dataset.x_train, dataset.y_train, tuple(shards), unpoisoned, where, poisoning)
    return Population(
        torch.cat(images),
        torch.cat(labels),
        tuple(shards),
        unpoisoned,
        where,
        poisoning,
        planted,
        shifted or {},
    )


def _altered(
    dataset: Dataset, where: Spread, planted: Planted | None, shifted: Mapping[int, Shifted]
) -> Iterator[tuple[int, IndexArray, Tensor, Tensor]]:
    """(client, places in its shard, what is there instead, images and labels); a client is there once at most, since
    a run has a shift or a planted property."""
    if planted is not None:
        for client, places in planted.places.items():
            index = torch.from_numpy(where.shards[client][places])
            yield client, places, planted.alter(dataset.x_train[index]), dataset.y_train[index]
    for client, one in shifted.items():
        if one.altered or one.relabelled:
            yield client, one.places, one.images, one.labels


def poisoned_shards(
    dataset: Dataset, where: Spread, attack: Attack, seed: int, name: str = ""
) -> Iterator[tuple[int, Shard, Poisoning]]:
    """(client, its poisoned shard, what was done to it) of each adversary."""
    for rank, client in enumerate(where.malicious):
        index = torch.from_numpy(where.shards[client])
        own = Shard(dataset.x_train[index], dataset.y_train[index], rank, len(where.malicious))
        # A copy, since what it makes of them is compared with what they were.
        given = replace(own, images=own.images.clone(), labels=own.labels.clone())
        found = attack.poison(given, stream(seed, "poison", client))
        made = checked_shard(name, found, own, dataset.info.num_classes)
        yield client, made, _compared(own, made, attack.source_classes)


def _compared(own: Shard, made: Shard, source_classes: Sequence[int] | None) -> Poisoning:
    images = sources = len(own.labels)
    if source_classes is not None:
        sources = int(torch.isin(own.labels, torch.tensor(source_classes)).sum())
    if len(made.labels) != images:  # a set of its own, in which no image has a counterpart
        return Poisoning(images, sources, len(made.labels), len(made.labels))
    relabelled = own.labels != made.labels
    poisoned = relabelled | (own.images != made.images).flatten(1).any(dim=1)
    return Poisoning(images, sources, int(poisoned.sum()), int(relabelled.sum()))
