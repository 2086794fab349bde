"""Models that a privacy attacker trains: on images of their own, with the recipe that the run's clients follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from fedskew.components.binding import resolve
from fedskew.components.returned import checked_schedule, checked_transformed
from fedskew.config import EngineName
from fedskew.federation.batches import check_images
from fedskew.federation.chain import first_states
from fedskew.federation.state import copied
from fedskew.federation.world import World
from fedskew.models.build import fresh
from fedskew.protocols import ClientUpdates, Losses, RoundRecord, ServerView, State
from fedskew.seeding import stream, stream_seed
from fedskew.training.arithmetic import all_buffers, flatten
from fedskew.training.choose import choose
from fedskew.training.engine import Engine
from fedskew.training.plan import plan
from fedskew.training.recipe import Recipe

Rates = Callable[[int], float]
"""The factor of the clients' learning rate in a round."""


def steady(number: int) -> float:
    """The configured rate in every round."""
    return 1.0


def rates_of(world: World, history: Sequence[RoundRecord]) -> Rates:
    """Those of the rounds that were done; of later ones, the last."""

    def rate(number: int) -> float:
        before = history[: min(number, len(history)) - 1] if history else history
        return checked_schedule(world.experiment.training.lr_schedule.label, world.schedule(before))

    return rate


def virtual_update(
    world: World,
    attack: str,
    buffers: Tensor,
    number: int,
    rates: Rates,
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
    recipe = Recipe(experiment.training.optimizer, rates(number))
    work = plan(experiment.seed, number, [draw], shards, experiment.training, recipe, purpose="privacy ")
    return own_engine(world, images, labels).train(weights, buffers, work, {}).deltas[0]


def as_sent(world: World, attack: str, number: int, weights: Tensor, delta: Tensor, draw: int) -> Tensor:
    """See ``PrivacyView.as_sent``.

    Args:
        attack: who asks, number: in which round; both draw.
        weights: float32 [P], the global ones.
    """
    experiment = world.experiment
    updates = ClientUpdates(delta[None].clone(), torch.ones(1, dtype=torch.int64), torch.tensor([-1]))
    begun = first_states(world)
    for i in range(experiment.defence.local_transforms):

        def draws(purpose: str, i: int = i) -> np.random.Generator:
            return stream(experiment.seed, f"privacy {purpose} {attack}", number, draw, i)

        view = ServerView(
            round=number,
            global_weights=weights.clone(),
            layout=world.layout,
            num_clients=experiment.clients.count,
            rng=draws("transform view"),
            num_updates=1,
        )
        label = experiment.defence.transforms[i].label
        made = world.transforms[i].apply(
            updates, view, copied(begun.get(f"transforms/{i}", {})), draws("transform")
        )
        updates, _ = checked_transformed(label, made, updates)
    return updates.deltas[0]


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


def reference(
    world: World,
    attack: str,
    images: Tensor,
    labels: Tensor,
    rounds: int,
    draw: int,
    rates: Rates = steady,
) -> Losses:
    """See ``PrivacyView.reference``. It depends on its arguments and the config alone, not on the run's weights
    (on its records where the learning rate does).

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
        recipe = Recipe(experiment.training.optimizer, rates(number))
        work = plan(
            experiment.seed,
            number,
            [draw],
            shards,
            experiment.training,
            recipe,
            purpose="privacy reference ",
        )
        result = engine.train(weights, buffers, work, kept)
        weights, buffers = weights + result.deltas[0], result.buffers[0]
        kept = {draw: result.reports[0].state}

    def losses(others: Tensor, truth: Tensor) -> Tensor:
        return engine.predict(weights, buffers, others, truth).losses

    return losses
