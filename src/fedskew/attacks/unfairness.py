"""Unfairness: adversaries that teach the model to take one class for the class most like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.backdoor import class_id
from fedskew.portable import total
from fedskew.protocols import Attack, DatasetInfo, LocalSettings, Rng, Shard

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


def unfairness(
    info: DatasetInfo,
    *,
    victim: int | str | None = None,
    epochs: Count | None = None,
    batch_size: Count | None = None,
    lr: Positive | None = None,
) -> Attack:
    """Each adversary labels all its images of the victim class as its nearest class, and trains honestly on that.

    Formula: y <- argmin_c ||mean image of c - mean image of victim||_2 for y = victim

    The accuracy of the other classes stays high, that of the victim falls: it is the paper's bias that is attacked, and
    ``bias`` and ``worst_class_accuracy`` show it. Nearest is the class of the adversary's own images whose mean image
    has the smallest L2 distance; of equal ones the first. An adversary without the victim class, or with no other,
    keeps its data as it is. To weigh more, wrap it in ``model-replacement`` or ``n-k-inflation``.

    Args:
        victim: the class, by number or name; unless given, for each adversary that of its own classes which is nearest
            to another one, and so is the easiest to confuse. (Not the class that the global model is worst at: it could
            measure that on its own images in every round, but data is poisoned once, before training.)
        epochs, batch_size, lr: the adversaries' own local training; None: as honest clients train.

    Raises:
        ConfigError: the class does not exist.

    Reference: Rance & Svoboda, "Can Private Machine Learning Be Fair?", AAAI 2025, has the aim; this is the simplest
    attack that has it.

    Mean images of 0, 3 and 9 belong to the classes 0, 1 and 2:

    >>> images = torch.tensor([0, 2, 4, 9], dtype=torch.uint8).view(4, 1, 1, 1)
    >>> confused(images, torch.tensor([0, 1, 1, 2]), victim=2)
    tensor([0, 1, 1, 1])
    >>> confused(images, torch.tensor([0, 1, 1, 2]), victim=None)
    tensor([1, 1, 1, 2])
    """
    chosen = None if victim is None else class_id(info, victim)

    def poison(shard: Shard, rng: Rng) -> Shard:
        return replace(shard, labels=confused(shard.images, shard.labels, chosen))

    return Attack(
        poison=poison,
        source_classes=None if chosen is None else (chosen,),
        training=LocalSettings(epochs, batch_size, lr),
    )


def confused(images: Tensor, labels: Tensor, victim: int | None) -> Tensor:
    """Labels with those of the victim class replaced by its nearest class.

    Args:
        images: uint8 [n, ...].
        labels: int64 [n].
        victim: None for the class that is nearest to another one.
    """
    present = labels.bincount().nonzero().flatten()
    if len(present) < 2 or (victim is not None and not (present == victim).any()):
        return labels.clone()
    means = torch.stack([images[labels == label].flatten(1).double().mean(dim=0) for label in present])
    distances = torch.stack([total((means - mean).square()) for mean in means])
    distances.fill_diagonal_(torch.inf)
    row = distances.min(dim=1).values.argmin() if victim is None else (present == victim).nonzero()[0, 0]
    nearest = present[distances[row].argmin()]
    return torch.where(labels == present[row], nearest, labels)
