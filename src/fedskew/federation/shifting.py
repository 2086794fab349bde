"""The data of each honest client as its shift makes it (``clients.shift``), before anything is poisoned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedskew.components.binding import guarded, resolve
from fedskew.components.known import facts_of
from fedskew.components.returned import checked_shift, checked_shifted_images, checked_shifted_labels
from fedskew.config import Experiment
from fedskew.federation.held_out import HeldOut, seen_as
from fedskew.federation.spread import Spread
from fedskew.protocols import ClientShift, Dataset, IndexArray, Rng, ShiftView
from fedskew.seeding import stream


@dataclass(frozen=True)
class Shifted:
    """What became of a client's data.

    Attributes:
        places: in its shard, int64: its own images; shared ones stay as the server sent them.
        images, labels: of these, uint8 [n, channels, height, width] and int64 [n].
        altered, relabelled: how many of its training images look otherwise, or have another label.
        values: what was drawn for it, by name.
    """

    places: IndexArray
    images: Tensor
    labels: Tensor
    altered: int
    relabelled: int
    values: Mapping[str, float] = field(default_factory=dict)


def shifted(
    dataset: Dataset, where: Spread, held: HeldOut, experiment: Experiment
) -> tuple[dict[int, Shifted], HeldOut]:
    """Each honest client's data as it is at this client, and what clients are measured on.

    The draws for a client depend on the seed and on the client alone.

    Args:
        held: what clients are measured on without a shift; their labels stay as they are.

    Raises:
        ConfigError: the shift cannot be applied to this data, or returned something else.
    """
    component = experiment.clients.shift
    if facts_of("shift", component).harmless:
        return {}, held
    seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
    rule: Any = resolve("shift", component, "clients.shift")
    found, measured = dict[int, Shifted](), dict[int, Tensor]()
    for client in where.honest:
        view = ShiftView(dataset.info, client, len(where.shards))
        made = checked_shift(component.label, rule(view, stream(seed, "shift", client)))
        shift: ClientShift = guarded("shift", component, made, "clients.shift")
        if len(where.shards[client]):
            found[client] = _trained_on(dataset, where, client, shift, component.label, seed)
        if held.clients([client]):
            images = held.images[held.of(client)]
            measured[client] = _seen(shift, images, component.label, stream(seed, "shift held-out", client))
    return found, seen_as(held, measured) if measured else held


def _trained_on(
    dataset: Dataset, where: Spread, client: int, shift: ClientShift, name: str, seed: int
) -> Shifted:
    places = where.own_places(client)
    index = torch.from_numpy(where.shards[client][places])
    images, labels = dataset.x_train[index], dataset.y_train[index]
    seen, called = _seen(shift, images, name, stream(seed, "shift images", client)), labels
    if shift.labels is not None:
        given = shift.labels(labels.clone(), stream(seed, "shift labels", client))
        called = checked_shifted_labels(name, given, labels, dataset.info.num_classes)
    altered = int((seen != images).flatten(1).any(dim=1).sum())
    return Shifted(places, seen, called, altered, int((called != labels).sum()), dict(shift.values))


def _seen(shift: ClientShift, images: Tensor, name: str, rng: Rng) -> Tensor:
    """What images look like at a client."""
    if shift.images is None:
        return images
    return checked_shifted_images(name, shift.images(images.clone(), rng), images)
