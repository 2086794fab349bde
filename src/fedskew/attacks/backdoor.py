"""The paper's attack (section III-B): a trojan on the adversaries' training data, labelled as the target class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.projection import ball
from fedskew.components.binding import resolve
from fedskew.components.returned import checked_trigger
from fedskew.config import Component
from fedskew.errors import ConfigError, unknown
from fedskew.protocols import (
    AdversaryView,
    Attack,
    Crafted,
    DatasetInfo,
    LocalSettings,
    Rng,
    Shard,
    keep_updates,
)
from fedskew.rounding import whole

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


def class_id(info: DatasetInfo, value: int | str) -> int:
    """A class by its number or name.

    Raises:
        ConfigError: there is no such class.
    """
    if isinstance(value, str):
        if value not in info.class_names:
            raise ConfigError(*unknown(f"class of {info.name}", value, info.class_names))
        return info.class_names.index(value)
    if not 0 <= value < info.num_classes:
        raise ConfigError(
            f"class {value} does not exist: {info.name} has classes 0 to {info.num_classes - 1}"
        )
    return value


def backdoor(
    info: DatasetInfo,
    *,
    target: int | str,
    poison_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5,
    trigger: Component = Component(name="plus"),  # noqa: B008 (frozen)
    source_classes: Sequence[int | str] | None = None,
    projection: Positive | None = None,
    epochs: Count | None = None,
    batch_size: Count | None = None,
    lr: Positive | None = None,
    report: Annotated[float, Field(gt=0, le=1e6)] = 1.0,
) -> Attack:
    """Stamps the trigger on a part of each adversary's images and gives them the target's label.

    Args:
        target: the class (number or name) that triggered images should be taken for.
        poison_fraction: the share of an adversary's images of the source classes that is poisoned, rounded
            down; the rest stays clean. The paper's text: 1.0; the authors' code: 0.5 and 1.0.
        trigger: a component of the kind "trigger".
        source_classes: the classes (numbers or names) to start from; all of them unless given, the target
            included, as in the authors' code.
        projection: the adversaries' local weights stay within this L2 distance of the start weights (projected
            gradient descent, Wang et al. 2020); None for no bound.
        epochs, batch_size, lr: the adversaries' own local training; None: as honest clients train.
        report: adversaries report max(1, round(report * n_k)) examples, which is their weight in FedAvg; 1 for the
            true number, at most 1e6.

    Raises:
        ConfigError: a class that does not exist, or a trigger that does not fit.
    """
    target_id = class_id(info, target)
    sources = None if source_classes is None else tuple(sorted({class_id(info, c) for c in source_classes}))
    stamp = checked_trigger(trigger.label, resolve("trigger", trigger, "attack.trigger")(info), info)

    def poison(shard: Shard, rng: Rng) -> Shard:
        eligible = torch.ones_like(shard.labels, dtype=torch.bool)
        if sources is not None:
            eligible = torch.isin(shard.labels, torch.tensor(sources))
        positions = eligible.nonzero().flatten().numpy()
        chosen = torch.from_numpy(
            rng.choice(positions, size=whole(poison_fraction * len(positions)), replace=False)
        )
        images, labels = shard.images.clone(), shard.labels.clone()
        images[chosen] = stamp.apply(images[chosen])
        labels[chosen] = target_id
        return replace(shard, images=images, labels=labels)

    def inflate(deltas: Tensor, view: AdversaryView, rng: Rng) -> Crafted:
        reported = (report * view.num_examples.double()).round().clamp_min(1)
        return Crafted(deltas, num_examples=reported.to(view.num_examples.dtype))

    return Attack(
        poison=poison,
        craft=keep_updates if report == 1 else inflate,
        trigger=stamp,
        target=target_id,
        source_classes=sources,
        objective=None if projection is None else ball(projection),
        training=LocalSettings(epochs, batch_size, lr),
    )
