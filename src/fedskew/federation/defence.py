"""The server's side of a round: transforms, aggregator, server step and learning-rate rule, in that order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor

from fedskew.components.returned import (
    checked_aggregate,
    checked_rate,
    checked_step,
    checked_transformed,
    unchanged,
)
from fedskew.components.table import BUILT_IN
from fedskew.config import Component
from fedskew.errors import FailedRunError
from fedskew.federation.chain import Chain
from fedskew.federation.state import copied
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView, State
from fedskew.seeding import stream


@dataclass
class Defended:
    """What the server makes of a round's updates.

    Attributes:
        delta: float32 [P], what the aggregator gave.
        change: float32 [P], what is added to the global weights: rate times server step; nothing to frozen ones.
        trace: what is recorded.
        client_weights: the weight of each client in the aggregate, by id, where the rule says it; only for rows
            of a single client, and not under secure aggregation.
        rules: the rules' states after the round, by name (``RunState.rules``).
    """

    delta: Tensor
    change: Tensor
    trace: dict[str, float]
    client_weights: dict[int, float]
    rules: dict[str, State]


def defend(
    chain: Chain,
    rules: Mapping[str, State],
    sent: list[ClientUpdates],
    weights: Tensor,
    number: int,
    root_update: Tensor | None,
    purpose: str = "",
    see: Callable[[ClientUpdates], None] | None = None,
) -> Defended:
    """Runs the defence on a round's updates; does not change its arguments.

    Of the updates there are never more than two matrices [S, P] at a time: a transform makes one out of the last,
    which is then released. That is why they come in a list, which is emptied.

    Args:
        rules: the rules' states before the round.
        sent: the updates, alone in a list.
        weights: float32 [P], w_t.
        purpose: prefix of the random streams: an adversary's trial has other draws than the round itself.
        see: is shown the updates as the clients send them, after those transforms that they do themselves.
    """
    experiment, defence = chain.experiment, chain.experiment.defence
    seed, arrived = experiment.seed, len(sent[0].client_ids)
    after = {name: copied(state) for name, state in rules.items() if not name.startswith("privacy/")}

    def view(purpose_of: str, *ids: int) -> ServerView:
        """A view of its own for each rule, so that what one draws or does to it is nothing to the next."""
        return ServerView(
            round=number,
            global_weights=weights.clone(),
            layout=chain.layout,
            num_clients=experiment.clients.count,
            rng=stream(seed, purpose + purpose_of, number, *ids),
            root_update=None if root_update is None else root_update.clone(),
            num_updates=arrived,
        )

    def transform(numbers: range) -> None:
        """Does the transforms with these numbers, on what is in the list."""
        updates = sent.pop()
        for i in numbers:
            component, rule = defence.transforms[i], chain.transforms[i]
            rng, seen = stream(seed, purpose + "transform", number, i), view("transform view", i)
            with _watched("transform", component, updates, seen):
                made = rule.apply(updates, seen, after[f"transforms/{i}"], rng)
            updates, after[f"transforms/{i}"] = checked_transformed(component.label, made, updates)
            del made
        sent.append(updates)

    transform(range(defence.local_transforms))
    if see is not None:
        see(sent[0])
    with _watched("learning-rate", defence.learning_rate, sent[0]):
        asked = chain.learning_rate(sent[0], experiment.server.learning_rate)
    rate = checked_rate(defence.learning_rate.label, asked, weights)
    transform(range(defence.local_transforms, len(defence.transforms)))
    updates = sent.pop()
    name, seen = defence.aggregator.label, view("aggregator")
    with _watched("aggregator", defence.aggregator, updates, seen):
        result = chain.aggregator.apply(updates, seen, after["aggregator/0"])
    delta, trace, after["aggregator/0"] = checked_aggregate(name, result, weights, len(updates.deltas))
    views = [view("server-step")] if chain.server_step.viewed else []
    with _watched("server-step", experiment.server.step, delta, *views):
        moved = chain.server_step.apply(delta, *views, after["server-step/0"])
    step, after["server-step/0"] = checked_step(experiment.server.step.label, moved, delta)
    recorded = dict(trace.values)
    if isinstance(rate, Tensor) and rate.ndim:
        recorded["negative_rate_share"] = float((rate < 0).double().mean())
    change = rate * step
    if chain.frozen is not None:
        # Noise, a crafted row or a moment may have moved them. -0.0 is the number that changes no bit when it is added.
        change = change.masked_fill(chain.frozen, -0.0)
    # A server that only learns sums has no weights of single clients, however the simulation computes them.
    weights_of = {} if experiment.server.secure_aggregation else _by_client(trace, updates)
    return Defended(delta, change, recorded, weights_of, after)


def moved(chain: Chain, weights: Tensor, done: Defended, number: int) -> Tensor:
    """w_{t+1}, float32 [P]: w_t and its change.

    Args:
        number: of the round, for the error.

    Raises:
        FailedRunError: it is not finite.
    """
    after = weights + done.change
    if not after.isfinite().all():
        raise FailedRunError(
            f"the global model diverged: it is not finite after round {number}, though every accepted update was: "
            f"{_who_broke_it(chain, done)}",
            "look at the defence, or lower server.learning_rate",
        )
    return after


def _who_broke_it(chain: Chain, done: Defended) -> str:
    """Where in the server's chain the first number was not finite."""
    defence, step = chain.experiment.defence, chain.experiment.server.step
    if done.delta.isfinite().all():
        return (
            f"server-step {step.label!r}, times the rate of learning-rate {defence.learning_rate.label!r}, gave "
            "numbers that are not finite"
        )
    before = "".join(f" after transform {transform.label!r}" for transform in defence.transforms)
    return f"aggregator {defence.aggregator.label!r}{before} gave numbers that are not finite"


def _watched(kind: str, component: Component, *given: object) -> AbstractContextManager[None]:
    """Refuses a component that changes what it was given; a built-in one is watched at no cost."""
    label = component.label
    return unchanged(f"{kind} {label!r}", *given, thorough=label not in BUILT_IN[kind])


def _by_client(trace: AggregationTrace, updates: ClientUpdates) -> dict[int, float]:
    if trace.client_weights is None:
        return {}
    ids = updates.client_ids.tolist()
    if min(ids, default=0) < 0:  # of rows that stand for several clients nobody can say whom they left out
        return {}
    return dict(zip(ids, trace.client_weights.double().tolist(), strict=True))
