"""The server's side of a round: transforms, aggregator, server step and learning-rate rule, in that order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedskew.components.returned import (
    checked_rate,
    checked_step,
    checked_transform,
    same_shape,
    unchanged,
)
from fedskew.federation.world import World
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView, State
from fedskew.seeding import stream


@dataclass
class Defended:
    """What the server makes of a round's updates.

    Attributes:
        delta: float32 [P], what the aggregator gave.
        change: float32 [P], what is added to the global weights: rate times server step.
        trace: what there is to record.
        client_weights: the weight of each client in the aggregate, by id, where the rule says it; of rows that stand
            for one client alone.
        rules: the rules' states after the round, by name (``RunState.rules``).
    """

    delta: Tensor
    change: Tensor
    trace: dict[str, float]
    client_weights: dict[int, float]
    rules: dict[str, State]


def defend(
    world: World,
    rules: Mapping[str, State],
    sent: list[ClientUpdates],
    weights: Tensor,
    number: int,
    root_update: Tensor | None,
    purpose: str = "",
) -> Defended:
    """Runs the defence on a round's updates; changes nothing that it is given.

    Of the updates there are never more than two matrices [S, P] at a time: a transform makes one out of the last,
    which nothing then refers to any more. That is why they come in a list, which is emptied.

    Args:
        rules: the rules' states before the round.
        sent: the updates, alone in a list.
        weights: float32 [P], w_t.
        purpose: prefix of the random streams: an adversary's trial draws others than the round itself.
    """
    experiment, defence = world.experiment, world.experiment.defence
    seed, after, updates = experiment.seed, dict(rules), sent.pop()
    view = ServerView(
        round=number,
        global_weights=weights.clone(),
        layout=world.layout,
        num_clients=experiment.clients.count,
        rng=stream(seed, purpose + "aggregator", number),
        root_update=root_update,
    )
    with unchanged(f"learning-rate {defence.learning_rate.label!r}", updates.deltas):
        rate = checked_rate(
            defence.learning_rate.label,
            world.learning_rate(updates, experiment.server.learning_rate),
            weights,
        )
    for i, (component, transform) in enumerate(zip(defence.transforms, world.transforms, strict=True)):
        rng = stream(seed, purpose + "transform", number, i)
        with unchanged(f"transform {component.label!r}", updates.deltas, view.global_weights):
            given, after[f"transforms/{i}"] = transform.apply(updates, view, after[f"transforms/{i}"], rng)
        updates = checked_transform(component.label, given, updates)
        del given
    name = defence.aggregator.label
    with unchanged(f"aggregator {name!r}", updates.deltas, view.global_weights):
        delta, trace, after["aggregator/0"] = world.aggregator.apply(updates, view, after["aggregator/0"])
    delta = same_shape(f"aggregator {name!r}", delta, weights)
    step, after["server-step/0"] = world.server_step.apply(delta, after["server-step/0"])
    step = checked_step(experiment.server.step.label, step, weights)
    recorded = dict(trace.values)
    if isinstance(rate, Tensor) and rate.ndim:
        recorded["negative_rate_share"] = float((rate < 0).float().mean())
    return Defended(delta, rate * step, recorded, _by_client(trace, updates), after)


def _by_client(trace: AggregationTrace, updates: ClientUpdates) -> dict[int, float]:
    if trace.client_weights is None:
        return {}
    weights = torch.as_tensor(trace.client_weights).double().flatten().tolist()
    ids = updates.client_ids.tolist()
    return {client: weight for client, weight in zip(ids, weights, strict=True) if client >= 0}
