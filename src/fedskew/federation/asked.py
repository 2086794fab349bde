"""What privacy attacks are asked about: which clients, and which records of theirs.

The records are half of images that honest clients trained on, and half of images of the same clients and classes that
were set aside (``clients.held_out``); with them come test images, which are nobody's. An image that a client trains on
with a planted property is not among them: it never saw the original. An attack gets the records in random order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedskew.evaluation.leakage import Truth
from fedskew.federation.world import World
from fedskew.protocols import IndexArray, LabelArray, Rng
from fedskew.seeding import stream

MOST_SCORES = 2**23
"""Of clients times records: 67 MB in float64, which an attack keeps, and a checkpoint."""


@dataclass(frozen=True)
class Records:
    """What the attacks ask about, and the truth about it.

    Attributes:
        asked: int64 [A], the ids of the clients that they ask about, ascending.
        images, labels: uint8 [N, ...] and int64 [N], in random order.
        public, public_labels: the test images that are not among them.
    """

    asked: IndexArray
    images: Tensor
    labels: Tensor
    public: Tensor
    public_labels: Tensor
    truth: Truth


def draw_records(world: World) -> Records:
    """Chooses the clients and their records, and test images, as many as there are members, but at most half of all."""
    data, seed, own = world.dataset, world.experiment.seed, draw_clients(world)
    asked = np.array(list(own), dtype=np.int64)
    there = [(place, *found) for place, found in enumerate(own.values()) if len(found[0])]
    owners, members, others = zip(*there, strict=True) if there else ((), (), ())
    count = sum(len(part) for part in members)
    rng = stream(seed, "privacy test images")
    order = rng.permutation(len(data.y_test))
    chosen, public = order[: min(count, len(order) // 2)], np.sort(order[min(count, len(order) // 2) :])
    train = (
        torch.from_numpy(np.concatenate([*members, *others])) if count else torch.empty(0, dtype=torch.int64)
    )
    test = torch.from_numpy(chosen)
    images = torch.cat([data.x_train[train], data.x_test[test]])
    all_labels = torch.cat([data.y_train[train], data.y_test[test]])
    holder = np.repeat(owners, [len(part) for part in members])
    client = np.concatenate([holder, holder, np.full(len(chosen), -1)]).astype(np.int64)
    member = np.arange(len(client)) < count
    shuffled = stream(seed, "privacy order").permutation(len(client))
    at = torch.from_numpy(shuffled)
    truth = Truth(
        member[shuffled],
        client[shuffled],
        all_labels.numpy()[shuffled],
        mixes(world, asked),
        np.array(owners, dtype=np.int64),
        holders(world, asked),
    )
    return Records(
        asked,
        images[at],
        all_labels[at],
        data.x_test[torch.from_numpy(public)],
        data.y_test[torch.from_numpy(public)],
        truth,
    )


def draw_clients(world: World) -> dict[int, tuple[IndexArray, IndexArray]]:
    """The ids of the clients that are asked about, ascending -> positions of the records that each was trained on, and
    of those that it held out.

    All clients, unless an attack would then keep more than ``MOST_SCORES`` scores, one for each client and record. Then
    as many as this allows, drawn whoever they are: an attacker who was told ids of honest clients only would know who
    is honest.
    """
    seed, tests = world.experiment.seed, len(world.dataset.y_test) // 2
    found, members = dict[int, tuple[IndexArray, IndexArray]](), 0
    for k in stream(seed, "privacy clients").permutation(world.experiment.clients.count).tolist():
        own = own_records(world, k)
        members += len(own[0])
        if (len(found) + 1) * (2 * members + min(members, tests)) > MOST_SCORES:
            break
        found[k] = own
    return {k: found[k] for k in sorted(found)}


def own_records(world: World, k: int) -> tuple[IndexArray, IndexArray]:
    """Of an honest client as many that it trained on as of those that it held out, class by class; of an adversary
    none."""
    where, nothing = world.population.spread, np.empty(0, dtype=np.int64)
    if k in where.malicious:
        return nothing, nothing
    rng, most = stream(world.experiment.seed, "privacy records", k), world.experiment.privacy.records
    return matched(world.dataset.y_train.numpy(), world.population.members(k), where.held_out[k], most, rng)


def mixes(world: World, asked: IndexArray) -> npt.NDArray[np.float64]:
    """``Truth.mixes`` of all honest clients that are asked about and have data."""
    where, labels = world.population.spread, world.dataset.y_train.numpy()
    found = np.full((len(asked), world.dataset.info.num_classes), np.nan)
    for place in np.flatnonzero(np.isin(asked, where.honest)):
        if len(shard := where.shards[asked[place]]):
            found[place] = np.bincount(labels[shard], minlength=found.shape[1]) / len(shard)
    return found


def holders(world: World, asked: IndexArray) -> npt.NDArray[np.float64] | None:
    """``Truth.holders`` of the planted property; None where none is planted."""
    where, planted = world.population.spread, world.population.planted
    if planted is None:
        return None
    found = np.full(len(asked), np.nan)
    for place in np.flatnonzero(np.isin(asked, where.honest)):
        if len(where.shards[asked[place]]):
            found[place] = asked[place] in planted.places
    return found


def matched(
    labels: LabelArray, trained: IndexArray, held_out: IndexArray, most: int, rng: Rng
) -> tuple[IndexArray, IndexArray]:
    """Positions of a client that it trained on and as many of each class that it did not, at most ``most`` of each."""
    inside, outside = list[IndexArray](), list[IndexArray]()
    chosen = rng.permutation(held_out)[:most]
    for label in np.unique(labels[chosen]):
        theirs = chosen[labels[chosen] == label]
        own = rng.permutation(trained[labels[trained] == label])[: len(theirs)]
        inside.append(own)
        outside.append(theirs[: len(own)])
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *inside]), np.concatenate([empty, *outside])
