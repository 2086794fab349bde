"""Checks of what the server does: aggregators, transforms, learning-rate rules, server steps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedskew.components.returned import checked_aggregate
from fedskew.errors import ConfigError, unknown
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    ClientUpdates,
    ServerStep,
    ServerView,
    State,
    UpdateTransform,
)
from fedskew.testing.examples import PARAMETERS, each, matrix, rng, row, scattered, server_view, updates
from fedskew.testing.exercise import Rule, exercise, limiting_case, stateless
from fedskew.testing.subject import Named, Subject, subject

COHORTS = (11, 13, 11)
"""Updates in each of the example rounds: enough for rules that need 4f + 3 of them with f = 2."""

Inputs = dict[str, Any]


def check_aggregator(aggregator: Named, *, promises: Collection[str] = (), **options: Any) -> None:
    """What every aggregator must do, and what this one promises.

    Args:
        promises: ``"permutation"``: the order of the updates does not matter; ``"unanimity"``: of equal updates the
            result is that update. Up to rounding.

    Raises:
        ConformanceError, ConfigError: one sentence that names the aggregator.
    """
    checked = subject("aggregator", aggregator, options)
    wrap = _aggregator(checked)
    record = checked.build()
    root = isinstance(record, Aggregator) and record.server_data > 0
    losses = isinstance(record, Aggregator) and record.start_losses

    def given(deltas: Tensor, number: int = 0) -> Inputs:
        return {
            "updates": updates(deltas, start_losses=losses),
            "view": server_view(number, root_update=root),
        }

    straight = exercise(checked, wrap, each(3, lambda i: given(matrix(COHORTS[i], i), i)))
    first = matrix(COHORTS[0], 0)
    (found,) = exercise(checked, wrap, [lambda: given(scattered(first))])
    _close(
        checked, found[0], straight[0][0], first, "gives another result for a matrix that is not contiguous"
    )
    limiting_case(checked, wrap, lambda: given(matrix(1, 0)), "a round with one client")
    limiting_case(checked, wrap, lambda: given(row(0).repeat(5, 1)), "a round with equal updates")
    for promise in promises:
        if promise not in PROMISES:
            raise ConfigError(*unknown("promise", promise, PROMISES))
        PROMISES[promise](checked, wrap, given)


def check_transform(transform: Named, **options: Any) -> None:
    """What every update transform must do.

    Raises:
        ConformanceError, ConfigError: one sentence that names the transform.
    """
    checked = subject("transform", transform, options)
    wrap = _transform(checked)

    def given(deltas: Tensor, number: int = 0) -> Inputs:
        return {"updates": updates(deltas), "view": server_view(number), "rng": rng(number)}

    straight = exercise(checked, wrap, each(3, lambda i: given(matrix(COHORTS[i], i), i)))
    first = matrix(COHORTS[0], 0)
    (found,) = exercise(checked, wrap, [lambda: given(scattered(first))])
    _close(
        checked,
        found.deltas,
        straight[0].deltas,
        first,
        "gives another result for a matrix that is not contiguous",
    )
    limiting_case(checked, wrap, lambda: given(matrix(1, 0)), "a round with one client")


def check_learning_rate(rule: Named, **options: Any) -> None:
    """What every server learning-rate rule must do.

    Raises:
        ConformanceError, ConfigError: one sentence that names the rule.
    """
    checked = subject("learning-rate", rule, options)

    def wrap(function: Callable[..., Any]) -> Rule:
        def rate(given: ClientUpdates, lr: float) -> Tensor:
            found = function(given, lr)
            if isinstance(found, int | float):
                found = torch.tensor(float(found))
            return checked.tensor(found, "the learning rate", (), (PARAMETERS,))

        return stateless(rate)

    def given(deltas: Tensor) -> Inputs:
        return {"updates": updates(deltas), "lr": 0.5}

    straight = exercise(checked, wrap, each(3, lambda i: given(matrix(COHORTS[i], i))))
    first = matrix(COHORTS[0], 0)
    (found,) = exercise(checked, wrap, [lambda: given(scattered(first))])
    _close(checked, found, straight[0], first, "gives another result for a matrix that is not contiguous")
    limiting_case(checked, wrap, lambda: given(matrix(1, 0)), "a round with one client")


def check_server_step(step: Named, **options: Any) -> None:
    """What every server step must do.

    Raises:
        ConformanceError, ConfigError: one sentence that names the step.
    """
    checked = subject("server-step", step, options)

    def wrap(built: Any) -> Rule:
        def apply(delta: Tensor, view: ServerView, state: State) -> tuple[Tensor, State]:
            if isinstance(built, ServerStep):
                result = built.apply(delta, *([view] if built.viewed else []), state)
            else:
                result = built(delta), state
            found, kept = checked.parts(result, "step", "state")
            return checked.tensor(found, "the step", (PARAMETERS,)), kept

        return Rule(apply, built.init) if isinstance(built, ServerStep) else Rule(apply)

    exercise(checked, wrap, each(3, lambda i: {"delta": row(i), "view": server_view(i)}))


def _aggregator(checked: Subject) -> Callable[[Any], Rule]:
    def traced(delta: object, trace: object, rows: int) -> tuple[Tensor, AggregationTrace]:
        found = checked.tensor(delta, "the result", (PARAMETERS,))
        said = checked.instance(trace, AggregationTrace, "the trace")
        checked.returned(checked_aggregate, (found, said, {}), found, rows)
        return found, said

    def wrap(built: Any) -> Rule:
        if isinstance(built, Aggregator):

            def apply(given: ClientUpdates, view: Any, state: State) -> tuple[Any, State]:
                result = built.apply(given, view, state)
                delta, trace, kept = checked.parts(result, "delta", "trace", "state")
                return traced(delta, trace, len(given.deltas)), kept

            return Rule(apply, built.init)

        def short(given: ClientUpdates, view: Any) -> tuple[Tensor, AggregationTrace]:
            result = built(given, view)
            both = result if isinstance(result, tuple) else (result, AggregationTrace())
            delta, trace = checked.parts(both, "delta", "trace")
            return traced(delta, trace, len(given.deltas))

        return stateless(short)

    return wrap


def _transform(checked: Subject) -> Callable[[Any], Rule]:
    def valid(found: object, given: ClientUpdates) -> ClientUpdates:
        result = checked.instance(found, ClientUpdates, "the result")
        rows = len(result.client_ids)
        if not 1 <= rows <= len(given.deltas):
            checked.fail(
                f"made {rows} rows of {len(given.deltas)}: at least one is needed, and at most as many as it was given"
            )
        checked.tensor(result.deltas, "deltas", (rows, PARAMETERS))
        checked.tensor(result.num_examples, "num_examples", (rows,), dtype=torch.int64)
        checked.tensor(result.client_ids, "client_ids", (rows,), dtype=torch.int64)
        known = [-1, *given.client_ids.tolist()]
        if not all(client in known for client in result.client_ids.tolist()):
            checked.fail(
                "returned a client id that it was not given; a row made of several clients has the id -1"
            )
        return result

    def wrap(built: Any) -> Rule:
        if isinstance(built, UpdateTransform):

            def apply(given: ClientUpdates, view: Any, draws: Any, state: State) -> tuple[Any, State]:
                found, kept = checked.parts(built.apply(given, view, state, draws), "updates", "state")
                return valid(found, given), kept

            return Rule(apply, built.init)
        return stateless(lambda given, view, draws: valid(built(given, view, draws), given))

    return wrap


def _permutation(checked: Subject, wrap: Callable[[Any], Rule], given: Callable[[Tensor], Inputs]) -> None:
    deltas = matrix(COHORTS[0], 0)
    order = torch.arange(len(deltas)).flip(0).roll(3)

    def permuted() -> Inputs:
        inputs = given(deltas)
        u = inputs["updates"]
        parts = (u.deltas, u.num_examples, u.client_ids, u.steps, u.losses)
        permuted = ClientUpdates(*(part[order] for part in parts))
        if u.start_losses is not None:
            permuted = replace(permuted, start_losses=u.start_losses[order])
        return {**inputs, "updates": permuted}

    (straight,) = exercise(checked, wrap, [lambda: given(deltas)])
    (other,) = exercise(checked, wrap, [permuted])
    _close(checked, other[0], straight[0], deltas, "depends on the order of the updates")


def _unanimity(checked: Subject, wrap: Callable[[Any], Rule], given: Callable[[Tensor], Inputs]) -> None:
    one = row(0)
    deltas = one.repeat(COHORTS[0], 1)
    (found,) = exercise(checked, wrap, [lambda: given(deltas)])
    _close(checked, found[0], one, deltas, "does not give the update that all clients sent")


PROMISES: dict[str, Callable[[Subject, Callable[[Any], Rule], Callable[..., Inputs]], None]] = {
    "permutation": _permutation,
    "unanimity": _unanimity,
}
"""What an aggregator may promise, and how it is checked."""


def _close(checked: Subject, found: Tensor, expected: Tensor, deltas: Tensor, complaint: str) -> None:
    """Equal up to rounding: a sum of n numbers is exact to n units in the last place of the largest."""
    bound = 8 * len(deltas) * torch.finfo(torch.float32).eps * float(deltas.abs().max())
    if found.shape != expected.shape or not (found - expected).abs().max() <= bound:
        checked.fail(complaint)
