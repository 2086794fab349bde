"""Virtual clients: made of public images, trained as the run's clients train, with a mix of classes that is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedskew.protocols import PrivacyView, Rng

MOST = 100
"""Images of a class on which a model is measured, at most."""
CONCENTRATIONS = (0.05, 0.5, 5.0)
"""Of the Dirichlet distributions of virtual clients' mixes, in turn: from one class to nearly even."""


@dataclass(frozen=True)
class Public:
    """The public images, half of them for virtual clients and half to measure models on: a virtual client must not be
    measured on images that it has trained on, since no real one is.

    Attributes:
        classes: int64 [J], those with an image in both halves.
        pools: positions for virtual clients, one array for each of these classes.
        measured: int64 [n], positions to measure on, at most ``MOST`` of each class.
        place: int64 [n], the place in ``classes`` of each of the latter's labels.
    """

    classes: Tensor
    pools: tuple[Tensor, ...]
    measured: Tensor
    place: Tensor

    def class_means(self, values: Tensor) -> Tensor:
        """float64 [J], the mean of values [n] of the measured images over each class."""
        sums = torch.zeros(len(self.classes), dtype=torch.float64).index_add(
            0, self.place, values.double().cpu()
        )
        return sums / self.place.bincount(minlength=len(self.classes))


def halved(view: PrivacyView) -> Public:
    """The public images in two halves, class by class, drawn by the attacker's rng."""
    order = torch.from_numpy(view.rng.permutation(len(view.public_labels)))
    shuffled = view.public_labels[order]
    each = [order[shuffled == label] for label in range(view.num_classes)]
    classes = [label for label, positions in enumerate(each) if len(positions) > 1]
    measured = [each[label][: len(each[label]) // 2][:MOST] for label in classes]
    nothing = torch.empty(0, dtype=torch.int64)
    return Public(
        torch.tensor(classes, dtype=torch.int64),
        tuple(each[label][len(each[label]) // 2 :] for label in classes),
        torch.cat([nothing, *measured]),
        torch.cat([nothing, *(torch.full_like(part, place) for place, part in enumerate(measured))]),
    )


def virtual_clients(
    weights: Tensor, sizes: Sequence[int], public: Public, view: PrivacyView
) -> Iterator[tuple[Tensor, Tensor]]:
    """(shares, update as it is sent) of one virtual client for each size: float64 [J], float32 [P].

    Args:
        weights: float32 [P], from which they train.
        sizes: how many images each has, drawn with replacement from the public ones of each class.
    """
    drawn = mixes(len(sizes), len(public.classes), view.rng)
    for number, (size, mix) in enumerate(zip(sizes, drawn, strict=True)):
        counts = view.rng.multinomial(size, mix)
        parts = [
            pool[torch.from_numpy(view.rng.integers(len(pool), size=count))]
            for pool, count in zip(public.pools, counts, strict=True)
        ]
        images = torch.cat(parts)
        delta = view.train(weights, view.public[images], view.public_labels[images], number)
        yield torch.from_numpy(counts / size), view.as_sent(weights, delta, number)


def mixes(count: int, classes: int, rng: Rng) -> Iterator[npt.NDArray[np.float64]]:
    """Mixes [J] of classes, which add up to 1.

    Each that is drawn turns from class to class before the next one is drawn, so that every class has each share once;
    where there are too few for this, there is still one of every concentration.
    """
    turns = min(classes, -(-count // len(CONCENTRATIONS)))
    mix = np.empty(classes)
    for number in range(count):
        drawn, turn = divmod(number, turns)
        if turn == 0:
            mix = rng.dirichlet(np.full(classes, CONCENTRATIONS[drawn % len(CONCENTRATIONS)]))
        yield np.roll(mix, turn)
