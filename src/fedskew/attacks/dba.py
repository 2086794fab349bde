"""DBA: a trigger in parts, of which each adversary trains with one, while the whole is used against the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from fedskew.attacks.backdoor import Count, Positive, Share, backdoor, stamping
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo, Trigger


def dba(
    info: DatasetInfo,
    *,
    target: int | str,
    parts: Annotated[int, Field(ge=2)] = 4,
    poison_fraction: Share = 0.5,
    trigger: Component = Component(name="plus"),  # noqa: B008 (frozen)
    source_classes: Sequence[int | str] | None = None,
    epochs: Count | None = None,
    batch_size: Count | None = None,
    lr: Positive | None = None,
) -> Attack:
    """The backdoor, with adversary j (0, 1, ...) stamping part j mod parts; evaluation stamps the whole trigger.

    Formula: (x, y) <- (x with part j mod parts of the trigger, target) for adversary j, for poison_fraction of the
    images of the source classes

    The parts are the trigger's pixels, row by row and from left to right, cut into runs whose lengths differ by one
    pixel at most; four bars in two rows are cut into the bars. Each adversary changes fewer pixels than with the whole
    trigger: compare at the same total of poisoned pixels.

    Args:
        parts: 2 or more. The run needs as many adversaries, so that someone trains with each part.
        target, poison_fraction, trigger, source_classes, epochs, batch_size, lr: as of ``backdoor``.

    Raises:
        ConfigError: as ``backdoor``, or the trigger has fewer pixels than parts.

    Reference: Xie et al., "DBA: Distributed Backdoor Attacks against Federated Learning", ICLR 2020.

    >>> stamp = Trigger(torch.tensor([[True, False], [True, True]]), torch.zeros(1, 2, 2, dtype=torch.uint8))
    >>> [part.mask.int().tolist() for part in cut(stamp, 2)]
    [[[1, 0], [1, 0]], [[0, 0], [0, 1]]]
    """
    whole = backdoor(
        info,
        target=target,
        trigger=trigger,
        source_classes=source_classes,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
    )
    assert whole.trigger is not None
    assert whole.target is not None
    pieces = cut(whole.trigger, parts)
    poison = stamping(
        lambda shard: pieces[shard.rank % parts], whole.target, whole.source_classes, poison_fraction
    )
    return replace(whole, poison=poison)


def cut(trigger: Trigger, parts: int) -> list[Trigger]:
    """The trigger's pixels in reading order in so many parts, whose sizes differ by one at most, larger ones first.

    Raises:
        ConfigError: it has fewer pixels.
    """
    places = trigger.mask.flatten().nonzero().flatten()
    if len(places) < parts:
        raise ConfigError(
            f"attack 'dba' with parts = {parts} needs a trigger of at least {parts} pixels, and this one has "
            f"{len(places)}"
        )
    found = []
    for piece in torch.tensor_split(places, parts):
        mask = torch.zeros_like(trigger.mask).flatten()
        mask[piece] = True
        found.append(replace(trigger, mask=mask.view_as(trigger.mask)))
    return found
