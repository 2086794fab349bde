"""Clients, their shards, who is malicious, who takes part in a round. Index work, until images are poisoned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedskew.components.binding import resolve
from fedskew.components.returned import checked_split
from fedskew.config import Adversaries, Experiment
from fedskew.errors import PartitionError
from fedskew.partition.heterogeneity import Counts, label_counts
from fedskew.partition.rounding import whole
from fedskew.protocols import Attack, Dataset, IndexArray, LabelArray, Partitioner, Shard
from fedskew.seeding import stream


@dataclass(frozen=True)
class Spread:
    """Who holds which training images, before anything is poisoned.

    Attributes:
        shards: positions in the training set, int64, one array per client.
        malicious: the ids of the adversaries, ascending.
        validation: positions held out before the data was spread.
    """

    shards: tuple[IndexArray, ...]
    malicious: tuple[int, ...]
    validation: IndexArray

    @property
    def honest(self) -> tuple[int, ...]:
        """The ids of the honest clients, ascending."""
        malicious = set(self.malicious)
        return tuple(k for k in range(len(self.shards)) if k not in malicious)

    def counts(self, labels: LabelArray, num_classes: int) -> Counts:
        """The client x class table of the true labels, int64 [K, C]."""
        return label_counts(labels, self.shards, num_classes)


def spread(labels: LabelArray, experiment: Experiment) -> Spread:
    """Spreads the training images over the clients as the experiment says.

    The split, the sample and the choice of adversaries draw from streams of their own, so that switching an
    attack on or off changes nothing that it need not change.

    Args:
        labels: int64 [N], of the whole training set.

    Raises:
        PartitionError: there are not enough images.
    """
    seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
    everyone = experiment.clients.count
    adversaries = experiment.adversaries
    validation, available = _hold_out(len(labels), experiment.data.validation, seed)
    partitioner: Partitioner = resolve("split", experiment.split, "split")
    chosen = stream(seed, "adversaries").choice(everyone, size=adversaries.count, replace=False)
    malicious = tuple(sorted(int(k) for k in chosen))

    def split(pool: IndexArray, clients: int) -> list[IndexArray]:
        parts = partitioner(labels[pool], clients, stream(seed, "split"))
        return [pool[part] for part in checked_split(experiment.split.label, parts, len(pool), clients)]

    if adversaries.data == "share" or not malicious:
        return _checked(Spread(tuple(split(available, everyone)), malicious, validation), experiment)

    samples = _samples(available, len(labels), adversaries, seed)
    taken = np.concatenate(samples) if adversaries.exclusive else np.empty(0, dtype=np.int64)
    if adversaries.split_over == "all":
        left = np.ones(len(labels), dtype=np.bool_)
        left[taken] = False
        shards = [part[left[part]] for part in split(available, everyone)]
    else:
        remaining = np.setdiff1d(available, taken, assume_unique=True)
        honest = iter(split(remaining, everyone - len(malicious)))
        nothing = np.empty(0, dtype=np.int64)
        bad = set(malicious)
        shards = [nothing if k in bad else next(honest) for k in range(everyone)]
    for client, sample in zip(malicious, samples, strict=True):
        shards[client] = sample
    return _checked(Spread(tuple(shards), malicious, validation), experiment)


def _checked(where: Spread, experiment: Experiment) -> Spread:
    """Refuses a spread that leaves the honest clients nothing, of which nothing could be learnt or measured."""
    if not any(len(where.shards[k]) for k in where.honest):
        raise PartitionError(
            f"split {experiment.split.label!r} ({_options(experiment)}) over {experiment.clients.count} clients "
            f"gives all data to the adversaries; the smallest honest shard has 0 images",
            "another seed, a larger alpha, or split.min_size",
        )
    smallest = min(len(where.shards[k]) for k in where.honest)
    if smallest < int(experiment.split.options.get("min_size", 0)):
        raise PartitionError(
            f"split {experiment.split.label!r} ({_options(experiment)}) over {experiment.clients.count} clients: "
            f"taking the adversaries' images away leaves an honest shard of {smallest} images",
            "lower split.min_size, or set adversaries.exclusive = false",
        )
    return where


def _options(experiment: Experiment) -> str:
    return ", ".join(f"{name} = {value}" for name, value in experiment.split.options.items()) or "no options"


def _hold_out(total: int, size: float, seed: int) -> tuple[IndexArray, IndexArray]:
    """A uniform validation sample and the rest; ``size`` is a count, or a fraction below 1."""
    count = round(size * total) if size < 1 else int(size)
    if size and not 0 < count < total:
        raise PartitionError(
            f"data.validation = {size:g} holds out {count} of the {total} training images; "
            "at least one must be held out and one left to the clients"
        )
    order = stream(seed, "validation").permutation(total)
    return np.sort(order[:count]), np.sort(order[count:])


def _samples(available: IndexArray, total: int, adversaries: Adversaries, seed: int) -> list[IndexArray]:
    """One uniform sample per adversary; disjoint if they are taken away from the honest clients."""
    fraction, size = adversaries.fraction, adversaries.size
    each = whole(fraction * total) if fraction is not None else int(size or 0)
    rng = stream(seed, "adversary-data")
    needed = each * (adversaries.count if adversaries.exclusive else 1)
    if not 0 < needed < len(available) + (not adversaries.exclusive):
        raise PartitionError(
            f"adversaries.count = {adversaries.count} with {each} images each cannot be served from "
            f"{len(available)} training images"
        )
    if adversaries.exclusive:
        drawn = rng.choice(available, size=needed, replace=False)
        return [np.sort(part) for part in np.split(drawn, adversaries.count)]
    return [np.sort(rng.choice(available, size=each, replace=False)) for _ in range(adversaries.count)]


def cohort(experiment: Experiment, round_number: int) -> IndexArray:
    """The clients of a round, ascending: a uniform sample of the given fraction, at least one."""
    everyone = experiment.clients.count
    size = max(1, round(experiment.clients.fraction * everyone))
    if size == everyone:
        return np.arange(everyone)
    return np.sort(stream(experiment.seed, "cohort", round_number).choice(everyone, size, replace=False))


@dataclass(frozen=True)
class Population:
    """The clients with their training data, poisoned where the attack says so.

    Attributes:
        images, labels: uint8 [M, channels, height, width] and int64 [M]: the training set, followed by the
            adversaries' own copies of their images.
        shards: positions in these, one array per client.
    """

    images: Tensor
    labels: Tensor
    shards: tuple[IndexArray, ...]
    spread: Spread


def populate(dataset: Dataset, where: Spread, attack: Attack, seed: int) -> Population:
    """Hands out the data; each adversary's shard passes through ``attack.poison`` once.

    Poisoned images are appended to the training set, so that a shard stays an index array.
    """
    images, labels = [dataset.x_train], [dataset.y_train]
    shards, end = list(where.shards), len(dataset.y_train)
    for client in where.malicious:
        index = torch.from_numpy(where.shards[client])
        own = Shard(dataset.x_train[index], dataset.y_train[index])
        poisoned = attack.poison(own, stream(seed, "poison", client))
        images.append(poisoned.images)
        labels.append(poisoned.labels)
        shards[client] = np.arange(end, end + len(poisoned.labels))
        end += len(poisoned.labels)
    if len(images) == 1:
        return Population(dataset.x_train, dataset.y_train, tuple(shards), where)
    return Population(torch.cat(images), torch.cat(labels), tuple(shards), where)
