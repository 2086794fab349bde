"""An aggregator with awkward state, for the tests of resuming."""

from __future__ import annotations

from typing import Any

from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State


def alternating() -> Aggregator:
    """Keeps the last delta in odd rounds only, twice, once as a view: what it drops must not come back."""

    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        delta = updates.deltas.mean(0)
        if "last" in state:
            return delta + 0.1 * state["same"], AggregationTrace({"kept": 1.0}), {}
        return delta, AggregationTrace({"kept": 0.0}), {"last": delta, "same": delta, "head": delta[:5]}

    return Aggregator(apply)
