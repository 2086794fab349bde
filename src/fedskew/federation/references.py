"""Models that a privacy attacker trains: on images of their own, with the recipe that the run's clients follow."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from torch import Tensor

from fedskew.components.binding import resolve
from fedskew.config import EngineName
from fedskew.federation.batches import check_images
from fedskew.federation.world import World
from fedskew.models.build import fresh
from fedskew.protocols import Losses, State
from fedskew.seeding import stream_seed
from fedskew.training.arithmetic import all_buffers, flatten
from fedskew.training.choose import choose
from fedskew.training.engine import Engine
from fedskew.training.plan import plan


def virtual_update(
    world: World,
    attack: str,
    buffers: Tensor,
    number: int,
    weights: Tensor,
    images: Tensor,
    labels: Tensor,
    draw: int,
) -> Tensor:
    """See ``PrivacyView.train``.

    Args:
        attack: whose client it is.
        buffers: float32 [B], from which its running averages start.
        number: the round.
    """
    check_images(
        world.experiment, f"a virtual client of {attack!r}", len(labels), world.module, world.dataset.info
    )
    experiment, shards = world.experiment, {draw: np.arange(len(labels))}
    work = plan(experiment.seed, number, [draw], shards, experiment.training, purpose="privacy ")
    return own_engine(world, images, labels).train(weights, buffers, work, {}).deltas[0]


def own_engine(world: World, images: Tensor, labels: Tensor) -> Engine:
    """An engine like the run's with other images than the population's, on one thread."""
    choice = choose(
        world.module,
        world.dataset.info,
        images,
        labels,
        world.device,
        cast(EngineName, world.engine.name),
        world.experiment.training,
    )
    return choice.build(1)


def reference(world: World, attack: str, images: Tensor, labels: Tensor, rounds: int, draw: int) -> Losses:
    """See ``PrivacyView.reference``. It depends on its arguments and the config alone, not on the run's weights.

    Args:
        attack: whose model it is.
    """
    experiment, info = world.experiment, world.dataset.info
    check_images(experiment, f"a reference of {attack!r}", len(labels), world.module, info)
    factory: Any = resolve("model", experiment.model, "model")
    module = fresh(factory, info, stream_seed(experiment.seed, "privacy reference", draw))
    weights = flatten(list(module.parameters())).to(world.device)
    buffers = flatten(all_buffers(module)).to(world.device)
    engine, shards, kept = (
        own_engine(world, images, labels),
        {draw: np.arange(len(labels))},
        dict[int, State](),
    )
    for number in range(1, rounds + 1):
        work = plan(
            experiment.seed, number, [draw], shards, experiment.training, purpose="privacy reference "
        )
        result = engine.train(weights, buffers, work, kept)
        weights, buffers = weights + result.deltas[0], result.buffers[0]
        kept = {draw: result.reports[0].state}

    def losses(others: Tensor, truth: Tensor) -> Tensor:
        return engine.predict(weights, buffers, others, truth).losses

    return losses
