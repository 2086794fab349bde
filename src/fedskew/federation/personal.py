"""Personal models: what honest clients make of the global model for themselves, trained and measured.

They are ordinary client work with random streams of its own, so the global run is the same with them and without. What
a client keeps is stored with its other state under names that begin with ``PERSONAL``: the model's weights and buffers,
and what its training keeps, such as moments that persist. Adversaries have no personal model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from fedskew.components.returned import checked_schedule
from fedskew.evaluation.clients import by_client, personal_metrics
from fedskew.evaluation.metrics import source_images
from fedskew.federation.client_state import ClientStates
from fedskew.federation.local import Trained, mapped
from fedskew.federation.own_layers import OWN, model_of
from fedskew.federation.state import RunState
from fedskew.federation.world import World
from fedskew.protocols import RoundRecord, State
from fedskew.training.plan import plan
from fedskew.training.recipe import PERSONAL, Recipe

MODEL = ("weights", "buffers")
"""The names of a personal model among what a client keeps for it."""


def train_lasting(
    world: World, state: RunState, trained: Trained, weights: Tensor, buffers: Tensor
) -> dict[int, State]:
    """Trains the personal models of the honest clients of a round, where personal models last; where they only keep
    layers of their own, local training has trained these.

    Args:
        state: the round is not yet counted in it.
        trained: the round's local training, which says who took part with which learning rate.
        weights, buffers: float32 [P] and [B], the global model that the round started from.

    Returns:
        What each client keeps, under names with ``PERSONAL``. A client whose model is not finite keeps nothing and
        begins again.
    """
    if world.own is not None:
        return trained.own
    if not world.personal.lasting:
        return {}
    honest = set(world.population.spread.honest)
    jobs = [job for job in trained.work if job.client in honest]
    begun = {"weights": world.initial_weights, "buffers": world.initial_buffers}
    kept = {job.client: _kept(state.clients, job.client) or begun for job in jobs}
    scale = jobs[0].recipe.lr_scale if jobs else 1.0
    return {
        client: {PERSONAL + name: tensor for name, tensor in own.items()}
        for client, own in _trained(world, state.round + 1, kept, weights, buffers, scale)
    }


def measure(
    world: World, state: RunState, history: Sequence[RoundRecord]
) -> tuple[dict[str, float], dict[int, float]]:
    """Metrics of personal models on the honest clients' own held-out data, and the accuracy of each of them, of at most
    1,000; nothing if there are no such models.

    A client without a personal model uses the global one.

    Args:
        state: after the round.
        history: the records up to this round, for the learning rate of models that are made now: that of the next
            round, which would start from the same weights.
    """
    attack, held = world.attack, world.held_out
    ids = held.clients(world.population.spread.honest)
    if not world.has_personal or not ids:
        return {}, {}
    accuracy: dict[int, float] = {}
    success: dict[int, float] = {}

    def look(client: int, weights: Tensor, buffers: Tensor) -> None:
        positions = held.of(client)
        images, labels = held.images[positions], held.labels[positions]
        seen = world.engine.predict(weights, buffers, images, labels).classes
        accuracy[client] = float((seen == labels).double().mean())
        if attack.trigger is None or attack.target is None:
            return
        sources = source_images(labels, attack.target, attack.source_classes)
        if sources.any():
            triggered = attack.trigger.apply(images[sources])
            seen = world.engine.predict(weights, buffers, triggered, labels[sources]).classes
            success[client] = float((seen == attack.target).double().mean())

    for client, own in _models(world, state, history, ids):
        look(client, own["weights"], own["buffers"])
    share = len(accuracy) / len(ids)
    for client in ids:
        if client not in accuracy:
            look(client, state.weights, state.buffers)
    found = [accuracy[k] for k in ids]
    return personal_metrics(found, [success[k] for k in ids if k in success], share), by_client(ids, found)


def _models(
    world: World, state: RunState, history: Sequence[RoundRecord], clients: Sequence[int]
) -> Iterator[tuple[int, State]]:
    """(client, what it keeps) of those of the clients that have a personal model."""
    if world.own is not None:
        for client in clients:
            if OWN in (kept := state.clients.get(client, {})):
                yield client, model_of(world.own, state.weights, kept)
        return
    if world.personal.lasting:
        for client in clients:
            if own := _kept(state.clients, client):
                yield client, own
        return
    scale = checked_schedule(world.experiment.training.lr_schedule.label, world.schedule(history))
    able = [k for k in clients if len(world.population.spread.shards[k])]
    size = world.experiment.clients.per_round  # as many models at a time as a round has
    for first in range(0, len(able), size):
        fresh: dict[int, State] = {k: {} for k in able[first : first + size]}
        yield from _trained(world, state.round, fresh, state.weights, state.buffers, scale)


def _trained(
    world: World, number: int, kept: Mapping[int, State], weights: Tensor, buffers: Tensor, scale: float
) -> Iterator[tuple[int, State]]:
    """(client, what it keeps) of clients whose personal models come out finite.

    Args:
        number: the round, 1-based.
        kept: what each client kept; one without a model starts from the global one.
        weights, buffers: the global model.
        scale: factor of the configured learning rate.
    """
    if not kept:
        return
    experiment, personal = world.experiment, world.personal
    training = experiment.training
    if personal.epochs is not None:
        training = training.model_copy(update={"epochs": personal.epochs})
    label = experiment.clients.personal.label
    recipe = Recipe(training.optimizer, scale, personal.objective, {"global": weights}, label)
    starts = {client: own["weights"] for client, own in kept.items() if own}
    shards = world.population.unpoisoned
    jobs = plan(experiment.seed, number, list(kept), shards, training, recipe, starts, "personal ")
    work = [
        mapped(world, replace(job, buffers=kept[job.client].get("buffers")), shards[job.client])
        for job in jobs
    ]
    states = {k: {n: tensor for n, tensor in own.items() if n not in MODEL} for k, own in kept.items()}
    found = world.engine.train(weights, buffers, work, states)
    for job, delta, own_buffers, report in zip(work, found.deltas, found.buffers, found.reports, strict=True):
        own_weights = (weights if job.start is None else job.start) + delta
        if own_weights.isfinite().all() and own_buffers.isfinite().all():
            yield job.client, {**report.state, "weights": own_weights, "buffers": own_buffers.clone()}


def _kept(clients: ClientStates, client: int) -> State:
    """What a client keeps for its personal model; nothing if it has none."""
    state = clients.get(client, {})
    return {n.removeprefix(PERSONAL): tensor for n, tensor in state.items() if n.startswith(PERSONAL)}
