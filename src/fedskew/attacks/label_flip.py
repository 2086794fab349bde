"""Label flips: adversaries that train honestly on images with wrong labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.backdoor import class_id
from fedskew.attacks.lacking import flips_nothing
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo, Rng, Shard
from fedskew.rounding import whole


def label_flip(
    info: DatasetInfo,
    *,
    map: Literal["reverse", "pair", "random"] = "reverse",  # noqa: A002 (an option by this name)
    source: int | str | None = None,
    target: int | str | None = None,
    fraction: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Attack:
    """Gives a share of each adversary's images another label, once, before training.

    Formula: reverse: y <- C - 1 - y;
    pair: y <- target for y = source;
    random: y <- any other class, each equally likely

    The images that are flipped are drawn from those that the map concerns:
    all, or those of the source. With an odd number of classes, "reverse" leaves the middle one as it is. How much
    "reverse" harms depends on which classes the adversaries hold; what "pair" aims at is the recall of the source, its
    accuracy in the record of each round.

    Args:
        source, target: classes (numbers or names) of "pair"; the other maps take none.
        fraction: the share of these images that is flipped, rounded down.

    Raises:
        ConfigError: a class that does not exist, is missing, is the other one too or has no use in the map; or a data
            set of a single class.

    Reference: Biggio, Nelson & Laskov, "Poisoning Attacks against Support Vector Machines", ICML 2012 (flipped
    labels); Tolpegin, Truex, Gursoy & Liu, "Data Poisoning Attacks Against Federated Learning Systems", ESORICS 2020
    (pairs); Karimireddy, He & Jaggi, ICLR 2022 (reverse).

    >>> import numpy as np
    >>> from fedskew.direct import INFO
    >>> shard = Shard(torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 7, 3]))
    >>> label_flip(INFO).poison(shard, np.random.default_rng(0)).labels
    tensor([9, 2, 6])
    >>> label_flip(INFO, map="pair", source=7, target=1).poison(shard, np.random.default_rng(0)).labels
    tensor([0, 1, 3])
    """
    classes = info.num_classes
    if classes < 2:
        raise ConfigError(f"attack 'label-flip' needs two classes or more; {info.name} has {classes}")
    source_id = None if source is None else class_id(info, source)
    target_id = None if target is None else class_id(info, target)
    if why := flips_nothing({"map": map, "source": source_id, "target": target_id}):
        raise ConfigError(f"attack 'label-flip' {why}")
    sources = None if source_id is None else (source_id,)

    def flipped(labels: Tensor, rng: Rng) -> Tensor:
        if target_id is not None:
            return torch.full_like(labels, target_id)
        if map == "reverse":
            return classes - 1 - labels
        return (labels + torch.from_numpy(rng.integers(1, classes, size=len(labels)))) % classes

    def poison(shard: Shard, rng: Rng) -> Shard:
        eligible = torch.ones_like(shard.labels, dtype=torch.bool)
        if sources is not None:
            eligible = torch.isin(shard.labels, torch.tensor(sources))
        positions = eligible.nonzero().flatten().numpy()
        chosen = torch.from_numpy(rng.choice(positions, size=whole(fraction * len(positions)), replace=False))
        labels = shard.labels.clone()
        labels[chosen] = flipped(labels[chosen], rng)
        return replace(shard, labels=labels)

    return Attack(poison=poison, source_classes=sources)
