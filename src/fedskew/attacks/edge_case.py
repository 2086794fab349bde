"""Edge cases: the least typical images of a class, without any trigger, labelled as another class."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedskew.attacks.backdoor import class_id
from fedskew.attacks.tails import in_tail
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo, LocalSettings, Rng, Shard, Tail

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


def edge_case(
    info: DatasetInfo,
    *,
    source: int | str,
    target: int | str,
    count: Count = 10,
    components: Count = 5,
    epochs: Count | None = None,
    batch_size: Count | None = None,
    lr: Positive | None = None,
) -> Attack:
    """Each adversary labels the images in the tail of its own source class as the target class.

    Formula: y <- target for the count images x of the source with the largest (x - mean)' Sigma^-1 (x - mean), in
    principal components

    The tail are the ``count`` images with the largest Mahalanobis distance in the class's first principal components
    (``fedskew.attacks.tails``). Since a model that is otherwise right gives up little by it, the attack is hard to
    see in its accuracy. The attack success rate is measured on the tail of the source class in the test set, which the
    evaluation finds in the same way; the images there are as they are, so there is no backdoor accuracy. Wang et al.
    take images from other data sets (ARDIS, Southwest planes) that no honest client holds; here honest clients hold
    theirs of the tail with the right label, which is their case "normal".

    Args:
        source: the class (number or name) whose tail is attacked.
        target: the class that it should be taken for.
        count: images in the tail, of each adversary's and of the test images; all of the class if it has no more.
        components: principal components; many more images than these are needed for a tail to mean something.
        epochs, batch_size, lr: the adversaries' own local training; None: as honest clients train.

    Raises:
        ConfigError: a class that does not exist, or the same one twice.

    Reference: Wang et al., "Attack of the Tails: Yes, You Really Can Backdoor Federated Learning", NeurIPS 2020.
    """
    source_id, target_id = class_id(info, source), class_id(info, target)
    if source_id == target_id:
        raise ConfigError(
            f"attack 'edge-case' has the source and target class {info.class_names[target_id]!r}; "
            "expected two classes"
        )
    tail = Tail(count, components)

    def poison(shard: Shard, rng: Rng) -> Shard:
        there = in_tail(shard.images, shard.labels, (source_id,), tail)
        return replace(shard, labels=shard.labels.masked_fill(there, target_id))

    return Attack(
        poison=poison,
        target=target_id,
        source_classes=(source_id,),
        tail=tail,
        training=LocalSettings(epochs, batch_size, lr),
    )
