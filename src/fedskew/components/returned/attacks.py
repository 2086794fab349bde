"""Checks of attacks, poisoned data, triggers and crafted updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from fedskew.components.returned.record import checked_parts
from fedskew.components.returned.tensors import (
    checked_state,
    described,
    number,
    same_shape,
    tensor_of,
    without_history,
)
from fedskew.errors import ConfigError
from fedskew.protocols import (
    THREAT_MODELS,
    Attack,
    Crafted,
    DatasetInfo,
    LocalObjective,
    LocalSettings,
    Shard,
    State,
    Tail,
    ThreatModel,
    Trigger,
)


def checked_attack(name: str, attack: object, info: DatasetInfo) -> Attack:
    """An ``Attack`` whose parts are what they must be, with a known threat model or a record of its own, and with a
    trigger and classes that fit the data. These may be NumPy's numbers and stand in any sequence; the one returned
    has them as ``int`` and ``tuple``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(attack, Attack):
        raise ConfigError(f"attack {name!r} must return an Attack, not {type(attack).__name__}")
    checked_parts(f"attack {name!r}", attack)
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
    _check_tail(name, attack.tail)
    _check_training(name, attack)
    return _with_classes(name, attack, info.num_classes)


def _with_classes(name: str, attack: Attack, classes: int) -> Attack:
    untriggered = attack.trigger is None and attack.tail is None
    if (attack.target is None and not untriggered) or (attack.target is not None and untriggered):
        what = "tail" if attack.trigger is None and attack.tail is not None else "trigger"
        has, lacks = (what, "target class") if attack.target is None else ("target class", "trigger")
        raise ConfigError(f"attack {name!r} has a {has} without a {lacks}; evaluation needs both, or neither")
    sources = attack.source_classes
    listed = isinstance(sources, Sequence) and not isinstance(sources, str | bytes)
    if sources is not None and not listed and not (isinstance(sources, np.ndarray) and sources.ndim == 1):
        raise ConfigError(
            f"attack {name!r}: source_classes is {described(sources)}; expected a tuple of classes"
        )
    target = None if attack.target is None else _class(name, attack.target, classes)
    theirs = None if sources is None else tuple(_class(name, label, classes) for label in sources)
    if target is attack.target and repr(theirs) == repr(sources):  # as they are to be, all of them
        return attack
    return replace(attack, target=target, source_classes=theirs)


def _class(name: str, label: object, classes: int) -> int:
    # ``Integral`` has NumPy's whole numbers too; True is one by its type alone.
    if isinstance(label, Integral) and not isinstance(label, bool) and 0 <= int(label) < classes:
        return int(label)
    raise ConfigError(
        f"attack {name!r} names the class {label!r}, which does not exist; there are 0 to {classes - 1}"
    )


def _check_tail(name: str, tail: object) -> None:
    if tail is None:
        return
    if not isinstance(tail, Tail):
        raise ConfigError(f"attack {name!r}: tail is {described(tail)}; expected a Tail")
    for part in ("count", "components"):
        value = getattr(tail, part)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"attack {name!r}: {part} of its tail is {value!r}; expected a whole number, at least 1"
            )


def _check_training(name: str, attack: Attack) -> None:
    own = attack.training
    if attack.objective is not None:
        if not isinstance(attack.objective, LocalObjective):
            raise ConfigError(
                f"attack {name!r}: objective is {described(attack.objective)}; expected a LocalObjective"
            )
        checked_parts(f"attack {name!r}", attack.objective)
    if not isinstance(own, LocalSettings):
        raise ConfigError(f"attack {name!r}: training is {described(own)}; expected LocalSettings")
    for setting in ("epochs", "batch_size"):
        value = getattr(own, setting)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"attack {name!r}: {setting} = {value!r}; expected a whole number, at least 1")
    if own.lr is not None and not (number(own.lr) or 0.0) > 0:
        raise ConfigError(f"attack {name!r}: lr = {own.lr!r}; expected a number above 0")


def checked_trigger(name: str, trigger: object, info: DatasetInfo) -> Trigger:
    """A ``Trigger`` that fits the images: mask bool [height, width] or [channels, height, width], value [channels,
    height, width] in the type of the images, weight above 0 and at most 1.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(trigger, Trigger):
        raise ConfigError(f"trigger {name!r} must return a Trigger, not {type(trigger).__name__}")
    by_channel = isinstance(trigger.mask, Tensor) and trigger.mask.ndim == 3
    shape = info.image_shape if by_channel else info.image_shape[1:]
    tensor_of(f"trigger {name!r}: mask", trigger.mask, torch.bool, shape)
    tensor_of(f"trigger {name!r}: value", trigger.value, info.dtype, info.image_shape)
    if not (trigger.value.dtype != torch.float32 or trigger.value.isfinite().all()):
        raise ConfigError(f"trigger {name!r}: value is not finite")
    if not 0 < (number(trigger.weight) or 0.0) <= 1:
        raise ConfigError(
            f"trigger {name!r}: weight = {trigger.weight!r}; expected a number above 0, at most 1"
        )
    return trigger


def checked_shard(name: str, found: object, given: Shard, num_classes: int) -> Shard:
    """What ``poison`` made of a shard: images of the same type and shape, as many int64 labels in 0 .. C-1, and at
    least one image where there were some.

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
    tensor_of(f"{who} returned images", found.images, given.images.dtype, (images, *given.images.shape[1:]))
    labels = tensor_of(f"{who} returned labels", found.labels, torch.int64, (images,))
    if len(given.images) and not images:
        raise ConfigError(f"{who} returned no image for a client that had {len(given.images)}")
    if images and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        wrong = labels[(labels < 0) | (labels >= num_classes)][0]
        raise ConfigError(f"{who} returned the label {int(wrong)}; expected 0 to {num_classes - 1}")
    return found


def checked_crafted(name: str, found: object, own: Tensor, uploads: State) -> Crafted:
    """What ``craft`` returned, as ``Crafted``: rows [A, P], n_k > 0 if it reports any, named tensors as state, uploads
    like those that it was given.

    Args:
        name: of the attack.
        own: [A, P], the adversaries' rows that it was given.
        uploads: the adversaries' own, each [A, ...].

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
    sent = None if found.uploads is None else _checked_uploads(who, found.uploads, uploads)
    return Crafted(same_shape(who, found.deltas, own), state, reported, sent)


def _checked_uploads(who: str, found: object, given: State) -> State:
    if not isinstance(found, Mapping) or found.keys() != given.keys():
        what = list(found) if isinstance(found, Mapping) else described(found)
        raise ConfigError(f"{who} returned uploads = {what}; expected tensors named {sorted(given)}")
    sent = {}
    for name, like in given.items():
        tensor = tensor_of(f"{who} returned the upload {name!r}", found[name], like.dtype, like.shape)
        sent[name] = without_history(tensor).to(like.device)
    return sent
