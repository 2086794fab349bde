"""The records of ``protocols`` that components give: made by a factory, or from a plain function without state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedskew.components.binding import built
from fedskew.config import Component
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    ClientUpdates,
    Rng,
    ServerStep,
    ServerView,
    StartView,
    StartWeights,
    State,
    UpdateTransform,
    ViewedSplit,
)


def build_rule(kind: str, component: Component, where: str | None = None) -> Any:
    """The record of a component whose kind has one.

    Args:
        kind: "split", "transform", "aggregator", "server-step", "start", "objective",
            "personal" or "observer".
        where: the field of the config, for errors.

    Raises:
        ConfigError: as ``binding.resolve``, or a factory that returns something else.
    """
    found = built(kind, component, where)
    return _ADAPTERS[kind](found) if callable(found) else found


def _split(function: Callable[..., Any]) -> ViewedSplit:
    return ViewedSplit(lambda view, num_clients, rng: function(view.labels, num_clients, rng))


def _transform(function: Callable[..., Any]) -> UpdateTransform:
    def apply(
        updates: ClientUpdates, view: ServerView, state: State, rng: Rng
    ) -> tuple[ClientUpdates, State]:
        return function(updates, view, rng), state

    return UpdateTransform(apply)


def _aggregator(function: Callable[..., Any]) -> Aggregator:
    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        result = function(updates, view)
        # What else a tuple may hold is found out with the rest of what the rule returns.
        return (*result, state) if isinstance(result, tuple) else (result, AggregationTrace(), state)

    return Aggregator(apply)


def _server_step(function: Callable[..., Any]) -> ServerStep:
    return ServerStep(lambda delta, state: (function(delta), state))


def _start(function: Callable[..., Any]) -> StartWeights:
    def apply(view: StartView, state: State, rng: Rng) -> tuple[Any, State]:
        return function(view, rng), state

    return StartWeights(apply)


_ADAPTERS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "split": _split,
    "transform": _transform,
    "aggregator": _aggregator,
    "server-step": _server_step,
    "start": _start,
}
