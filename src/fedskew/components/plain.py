"""How a plain function, which keeps no state, becomes the record of its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedskew.protocols import AggregationTrace, Aggregator, ServerStep, StartWeights, UpdateTransform


def _aggregator(function: Callable[..., Any]) -> Aggregator:
    def aggregate(updates: Any, view: Any, state: Any) -> Any:
        result = function(updates, view)
        delta, trace = result if isinstance(result, tuple) else (result, AggregationTrace())
        return delta, trace, state

    return Aggregator(aggregate)


def _transform(function: Callable[..., Any]) -> UpdateTransform:
    return UpdateTransform(lambda updates, view, state, rng: (function(updates, view, rng), state))


def _start(function: Callable[..., Any]) -> StartWeights:
    return StartWeights(lambda view, state, rng: (function(view, rng), state))


def _server_step(function: Callable[..., Any]) -> ServerStep:
    return ServerStep(lambda delta, state: (function(delta), state))


STATELESS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "aggregator": _aggregator,
    "transform": _transform,
    "start": _start,
    "server-step": _server_step,
}
"""By kind."""
