"""Clients whose losses are quadratics, whose minima are known in closed form, and rounds of them in plain float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedskew.protocols import (
    LocalObjective,
    LocalResult,
    LocalView,
    ParameterLayout,
    ServerStep,
    ServerView,
    State,
)


@dataclass(frozen=True)
class Quadratics:
    """Client k minimises 1/2 sum over i of curvature[k, i] * (w_i - centre[k, i])^2; all float64 [K, P]."""

    curvature: Tensor
    centre: Tensor

    def gradient(self, client: int, weights: Tensor) -> Tensor:
        return self.curvature[client] * (weights - self.centre[client])

    def optimum(self, shares: Sequence[float] | None = None) -> Tensor:
        """Where the gradients of all clients cancel, each times its share (by default equal ones)."""
        share = torch.ones(len(self.centre)) if shares is None else torch.tensor(shares)
        pull = share[:, None].double() * self.curvature
        return (pull * self.centre).sum(dim=0) / pull.sum(dim=0)

    def fedavg_rests_at(self, steps: int, lr: float) -> Tensor:
        """T steps of gradient descent go the share 1 - (1 - lr a)^T of the way to a client's own centre."""
        way = 1 - (1 - lr * self.curvature) ** steps
        return (way * self.centre).sum(dim=0) / way.sum(dim=0)


FOUR = Quadratics(
    curvature=torch.tensor([[0.2, 1.0], [1.0, 0.5], [2.0, 0.1], [0.5, 2.0]], dtype=torch.float64),
    centre=torch.tensor([[4.0, -1.0], [-2.0, 3.0], [1.0, 5.0], [0.0, 0.5]], dtype=torch.float64),
)
"""Four clients that disagree about where the minimum is and about how steep the way to it is."""


def train(
    problem: Quadratics,
    objective: LocalObjective,
    *,
    rounds: int,
    steps: int = 5,
    lr: float = 0.1,
    server_lr: float = 1.0,
    server: ServerStep | None = None,
    shares: Sequence[float] | None = None,
    cohort: Callable[[int], Sequence[int]] | None = None,
    changed: Callable[[int, State], State] = lambda client, uploads: uploads,
) -> Iterator[tuple[Tensor, State]]:
    """The global weights after each round of federated gradient descent from 0, and the server's part of the objective.

    Args:
        shares: the weights of the clients in the average, [K]; equal ones by default.
        cohort: round (from 0) -> the clients that take part; all by default.
        changed: what is made of what a client uploads.
    """
    clients, parameters = problem.centre.shape
    weights = torch.zeros(parameters, dtype=torch.float64)
    state, kept = objective.server_init(), [_double(objective.init(parameters)) for _ in range(clients)]
    moved = server.init() if server else {}
    for number in range(rounds):
        members = range(clients) if cohort is None else cohort(number)
        deltas, uploads = [], []
        for k in members:
            local, sent = weights.clone(), objective.send(state)
            view = LocalView(local, weights.clone(), sent, kept[k], lr)
            for _ in range(steps):
                gradient = problem.gradient(k, local)
                if objective.add is not None:
                    objective.add(gradient, view)
                local.sub_(lr * gradient)
                if objective.project is not None:
                    objective.project(local, view)
            result = LocalResult(local - weights, steps, lr, sent, kept[k], weights.clone(), steps)
            kept[k], up = objective.finish(result)
            deltas.append(result.delta)
            uploads.append(changed(k, up))
        share = torch.tensor([1.0 if shares is None else shares[k] for k in members], dtype=torch.float64)
        delta = (share / share.sum()) @ torch.stack(deltas)
        if server is not None:
            view_of_server = ServerView(
                number + 1, weights, ParameterLayout((), ()), clients, num_updates=len(deltas)
            )
            delta, moved = server.apply(delta, *([view_of_server] if server.viewed else []), moved)
        weights = weights + server_lr * delta
        state = objective.collect(
            state, {n: torch.stack([up[n] for up in uploads]) for n in uploads[0]}, clients
        )
        yield weights, state


def last(outcomes: Iterator[tuple[Tensor, State]]) -> Tensor:
    """The weights after the last round."""
    return [weights for weights, _ in outcomes][-1]


def _double(state: State) -> State:
    return {name: tensor.double() for name, tensor in state.items()}
