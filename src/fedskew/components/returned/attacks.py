"""Checks of attacks, poisoned data, triggers and crafted updates."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.components.returned.tensors import checked_state, described, same_shape, tensor_of
from fedskew.errors import ConfigError
from fedskew.protocols import THREAT_MODELS, Attack, Crafted, DatasetInfo, Shard, ThreatModel, Trigger


def checked_attack(name: str, attack: object, info: DatasetInfo) -> Attack:
    """An ``Attack`` with a known threat model, or with a record of its own, and with a trigger that fits the images.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(attack, Attack):
        raise ConfigError(f"attack {name!r} must return an Attack, not {type(attack).__name__}")
    if not isinstance(attack.threat_model, ThreatModel) and attack.threat_model not in THREAT_MODELS:
        raise ConfigError(
            f"attack {name!r}: threat_model = {attack.threat_model!r}; "
            f"valid: {', '.join(THREAT_MODELS)}, or a ThreatModel"
        )
    threat = attack.threat
    if threat.knows_defence and threat.sees != "all-updates":
        raise ConfigError(
            f"attack {name!r}: threat model {threat.name!r} knows the defence but sees {threat.sees}; trying rows on "
            "the defence shows the honest updates, so it must see all-updates"
        )
    if attack.trigger is not None:
        checked_trigger(name, attack.trigger, info)
    return attack


def checked_trigger(name: str, trigger: object, info: DatasetInfo) -> Trigger:
    """A ``Trigger`` that fits the images: mask bool [height, width], value uint8 [channels, height, width].

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(trigger, Trigger):
        raise ConfigError(f"trigger {name!r} must return a Trigger, not {type(trigger).__name__}")
    tensor_of(f"trigger {name!r}: mask", trigger.mask, torch.bool, info.image_shape[1:])
    tensor_of(f"trigger {name!r}: value", trigger.value, torch.uint8, info.image_shape)
    return trigger


def checked_shard(name: str, found: object, given: Shard, num_classes: int) -> Shard:
    """What ``poison`` made of a shard: uint8 images of the same shape, as many int64 labels in 0 .. C-1, and at least
    one image where there were some.

    Args:
        name: of the attack.
        given: the shard as it was before.

    Raises:
        ConfigError: it is something else.
    """
    who = f"attack {name!r}: poison"
    if not isinstance(found, Shard):
        raise ConfigError(f"{who} must return a Shard, not {type(found).__name__}")
    if not isinstance(found.images, Tensor) or not found.images.ndim:
        raise ConfigError(f"{who} returned images = {described(found.images)}; expected a tensor")
    images = len(found.images)
    tensor_of(f"{who} returned images", found.images, torch.uint8, (images, *given.images.shape[1:]))
    labels = tensor_of(f"{who} returned labels", found.labels, torch.int64, (images,))
    if len(given.images) and not images:
        raise ConfigError(f"{who} returned no image for a client that had {len(given.images)}")
    if images and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        wrong = labels[(labels < 0) | (labels >= num_classes)][0]
        raise ConfigError(f"{who} returned the label {int(wrong)}; expected 0 to {num_classes - 1}")
    return found


def checked_crafted(name: str, found: object, own: Tensor) -> Crafted:
    """What ``craft`` returned, as ``Crafted``: rows [A, P], n_k > 0 if it reports any, named tensors as state.

    Args:
        name: of the attack.
        own: [A, P], the adversaries' rows that it was given.

    Raises:
        ConfigError: it is something else.
    """
    who = f"attack {name!r}: craft"
    if not isinstance(found, Crafted):
        return Crafted(same_shape(who, found, own))
    reported = found.num_examples
    if reported is not None:
        tensor_of(f"{who} returned num_examples", reported, torch.int64, (len(own),))
        if len(own) and int(reported.min()) < 1:
            raise ConfigError(f"{who} returned num_examples = {int(reported.min())}; expected 1 or more")
    state = None if found.state is None else checked_state(who, found.state)
    return Crafted(same_shape(who, found.deltas, own), state, reported)
