"""Components that keep state, as a plug-in module, for tests that resume a run."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew import AggregationTrace, Aggregator, ClientUpdates, ServerView
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State


def alternating() -> Aggregator:
    """The mean, turned over in every other round, times a draw of the round's generator."""

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        sign = state["sign"]
        delta = sign * float(view.rng.uniform(0.5, 1.5)) * updates.deltas.mean(dim=0)
        return delta, AggregationTrace({"sign": float(sign)}), {"sign": -sign}

    return Aggregator(apply, init=lambda: {"sign": torch.tensor(1.0)})


def counting_objective() -> LocalObjective:
    """Pulls towards the mean gradient that the client has seen so far; the server keeps a sum of what is uploaded."""

    def add(gradient: Tensor, view: LocalView) -> None:
        view.kept["sum"] += gradient
        view.kept["steps"] += 1
        gradient.add_(view.sent["pull"] * view.kept["sum"])

    def finish(result: LocalResult) -> tuple[State, State]:
        return result.kept, {"length": result.delta.norm()}

    return LocalObjective(
        add=add,
        init=lambda parameters: {"sum": torch.zeros(parameters), "steps": torch.zeros(1)},
        finish=finish,
        server_init=lambda: {"pull": torch.tensor(0.01)},
        send=lambda state: dict(state),
        collect=lambda state, uploads, clients: {"pull": state["pull"] + 0.001 * uploads["length"].mean()},
    )
