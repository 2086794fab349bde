"""What each client is measured on: images of its own that were set aside, or its own test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedskew.federation.spread import Spread
from fedskew.protocols import Dataset, IndexArray


@dataclass(frozen=True)
class HeldOut:
    """Images that nobody trains on, by the client that is measured on them.

    Attributes:
        images, labels, groups: uint8 [M, channels, height, width], int64 [M] and int64 [M], or None without groups.
        places: positions in these, one array per client; no arrays where no client is measured.
    """

    images: Tensor
    labels: Tensor
    groups: Tensor | None
    places: tuple[IndexArray, ...]

    def clients(self, among: Sequence[int]) -> list[int]:
        """Those of these clients that have such images."""
        return [k for k in among if len(self.places[k])] if self.places else []

    def of(self, client: int) -> Tensor:
        """The positions of a client's images, int64."""
        return torch.from_numpy(self.places[client])


def held_out(dataset: Dataset, where: Spread) -> HeldOut:
    """The clients' own test images where the split gives some, else what it has set aside of the training images."""
    if where.tests:
        return HeldOut(dataset.x_test, dataset.y_test, dataset.groups_test, where.tests)
    return HeldOut(dataset.x_train, dataset.y_train, dataset.groups_train, where.held_out)


def seen_as(held: HeldOut, images: Mapping[int, Tensor]) -> HeldOut:
    """The same with other images, of these clients alone.

    Args:
        images: client -> as many as it has, uint8 [n, channels, height, width]; at least one client.
    """
    places, end = [np.empty(0, dtype=np.int64)] * len(held.places), 0
    for client, made in images.items():
        places[client] = np.arange(end, end + len(made))
        end += len(made)
    at = torch.cat([held.of(client) for client in images])
    groups = None if held.groups is None else held.groups[at]
    return HeldOut(torch.cat([*images.values()]), held.labels[at], groups, tuple(places))
