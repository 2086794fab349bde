"""The paper's attack (section III-B): a trojan on the adversaries' training data, labelled as the target class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from fedskew.attacks.n_k_inflation import Factor, inflated
from fedskew.attacks.projection import ball
from fedskew.components.binding import resolve
from fedskew.components.returned import checked_trigger
from fedskew.config import Component
from fedskew.errors import ConfigError, unknown
from fedskew.protocols import Attack, DatasetInfo, LocalSettings, Rng, Shard, Trigger
from fedskew.rounding import whole

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
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
    poison_fraction: Share = 0.5,
    trigger: Component = Component(name="plus"),  # noqa: B008 (frozen)
    source_classes: Sequence[int | str] | None = None,
    projection: Positive | None = None,
    epochs: Count | None = None,
    batch_size: Count | None = None,
    lr: Positive | None = None,
    report: Factor = 1.0,
) -> Attack:
    """Stamps the trigger on a part of each adversary's images and gives them the target's label.

    Formula: (x, y) <- (x with the trigger, target) for poison_fraction of the images of the source classes

    Args:
        target: the class (number or name) that triggered images should be taken for.
        poison_fraction: the share of an adversary's images of the source classes that is poisoned, rounded
            down; the rest stays clean. The paper's text: 1.0; the authors' code: 0.5 and 1.0.
        trigger: a component of the kind "trigger".
        source_classes: the classes (numbers or names) to start from; all of them unless given, the target
            included, as in the authors' code.
        projection: the adversaries' local weights stay within this L2 distance of the start weights, as with ``pgd``;
            None for no bound.
        epochs, batch_size, lr: the adversaries' own local training; None: as honest clients train.
        report: adversaries report max(1, round(report * n_k)) examples, which is their weight in FedAvg; 1 for the
            true number, at most 1e6; as with ``n-k-inflation``.

    Raises:
        ConfigError: a class that does not exist, or a trigger that does not fit.

    Reference: Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated
    Learning", 2021, section III-B; Gu, Dolan-Gavitt & Garg, "BadNets: Identifying Vulnerabilities in the Machine
    Learning Model Supply Chain", 2017 (arXiv 1708.06733).
    """
    target_id = class_id(info, target)
    sources = None if source_classes is None else tuple(sorted({class_id(info, c) for c in source_classes}))
    stamp = checked_trigger(trigger.label, resolve("trigger", trigger, "attack.trigger")(info), info)

    attack = Attack(
        poison=stamping(lambda shard: stamp, target_id, sources, poison_fraction),
        trigger=stamp,
        target=target_id,
        source_classes=sources,
        objective=None if projection is None else ball(projection),
        training=LocalSettings(epochs, batch_size, lr),
    )
    return inflated(attack, report)


def stamping(
    stamp_of: Callable[[Shard], Trigger], target: int, sources: Sequence[int] | None, fraction: float
) -> Callable[[Shard, Rng], Shard]:
    """The poisoning that stamps a trigger on a part of a shard's images and gives them the target's label.

    Args:
        stamp_of: the trigger that an adversary stamps.
        sources: the classes to start from; None for all.
        fraction: the share of the images of these classes that is poisoned, rounded down.
    """

    def poison(shard: Shard, rng: Rng) -> Shard:
        eligible = torch.ones_like(shard.labels, dtype=torch.bool)
        if sources is not None:
            eligible = torch.isin(shard.labels, torch.tensor(sources))
        positions = eligible.nonzero().flatten().numpy()
        chosen = torch.from_numpy(rng.choice(positions, size=whole(fraction * len(positions)), replace=False))
        images, labels = shard.images.clone(), shard.labels.clone()
        images[chosen] = stamp_of(shard).apply(images[chosen])
        labels[chosen] = target
        return replace(shard, images=images, labels=labels)

    return poison
