"""What the server does with a round's updates: transforms, an aggregator, a learning-rate rule, a server step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fedskew.protocols.data import ParameterLayout, Rng, State, no_state

if TYPE_CHECKING:  # a command that reads records needs no torch
    from torch import Tensor


@dataclass(frozen=True)
class ClientUpdates:
    """The updates of a round, as the server sees them, without who is malicious (docs/design.md, rule 1).

    Attributes:
        deltas: float32 [S, P]; **delta = local weights - the weights that the client started from**, which are the
            global ones unless ``clients.start`` says otherwise (the paper's Delta_t^k, section II-A).
        num_examples: int64 [S], the n_k that the clients report; all > 0. On the device of the updates.
        client_ids: int64 [S]; -1 for a row that a transform has made of several clients.
        steps: int64 [S], optimiser steps that each client took; None if not counted.
        losses: float64 [S], the mean training loss that each client reports; None if not reported.
        uploads: what clients send with their update, by name, each [S, ...].
        start_losses: float64 [S], the mean loss of the global model before training on each client's own training
            data of the round, as the client reports it; None unless the aggregator asks for it
            (``Aggregator.start_losses``).

    >>> import torch
    >>> updates = ClientUpdates(torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([10, 30]), torch.tensor([4, 7]))
    >>> updates.deltas.mean(dim=0)
    tensor([2., 1.])
    >>> updates.with_deltas(-updates.deltas).client_ids
    tensor([4, 7])
    """

    deltas: Tensor
    num_examples: Tensor
    client_ids: Tensor
    steps: Tensor | None = None
    losses: Tensor | None = None
    uploads: Mapping[str, Tensor] = field(default_factory=dict)
    start_losses: Tensor | None = None

    def with_deltas(self, deltas: Tensor) -> ClientUpdates:
        """The same clients with other deltas."""
        return replace(self, deltas=deltas)


def _fixed_rng() -> Rng:
    return np.random.default_rng(0)


@dataclass(frozen=True)
class ServerView:
    """What else the server knows when it aggregates.

    Attributes:
        round: 1-based.
        global_weights: float32 [P], w_t.
        layout: names and shapes of the parameters.
        num_clients: K, all clients, in the cohort or not.
        rng: of the aggregator in this round, from the run's seed.
        root_update: float32 [P], what the same local training on the server's own data gives; None unless the
            aggregator asks for it (``Aggregator.server_data``).
        num_updates: S, the updates of the round as they arrived, before any transform.

    >>> import torch
    >>> layout = ParameterLayout(names=("weight", "bias"), shapes=((2, 1), (1,)))
    >>> view = ServerView(round=1, global_weights=torch.zeros(3), layout=layout, num_clients=10)
    >>> view.layout.unflatten(view.global_weights)["weight"].shape
    torch.Size([2, 1])
    """

    round: int
    global_weights: Tensor
    layout: ParameterLayout
    num_clients: int = 0
    rng: Rng = field(default_factory=_fixed_rng, compare=False, repr=False)
    root_update: Tensor | None = None
    num_updates: int = 0


@dataclass(frozen=True)
class AggregationTrace:
    """What a rule records of a round.

    Attributes:
        values: named numbers, kept in the record's ``trace``.
        client_weights: float [S'], the weight of each given row in the result; 0 for a row that was left out.
            Kept in the record; evaluation adds who is malicious and measures the detection.

    >>> import torch
    >>> kept = torch.tensor([0.5, 0.5, 0.0])
    >>> AggregationTrace({"rejected": 1.0}, client_weights=kept).values["rejected"]
    1.0
    """

    values: Mapping[str, float] = field(default_factory=dict)
    client_weights: Tensor | None = None


@dataclass(frozen=True)
class UpdateTransform:
    """A step between the clients and the aggregator: clipping, noise, bucketing, ...

    apply: (updates, view, state, rng) -> (updates, state). It may return fewer rows than it was given; a row that is
    made of several clients has the id -1 and the sum of their num_examples. The state is a new one.

    >>> import torch
    >>> def halved(updates, view, state, rng):
    ...     return updates.with_deltas(updates.deltas / 2), state
    >>> transform = UpdateTransform(halved)
    >>> updates = ClientUpdates(torch.tensor([[2.0]]), torch.tensor([1]), torch.tensor([0]))
    >>> transform.apply(updates, None, transform.init(), None)[0].deltas
    tensor([[1.]])
    """

    apply: Callable[[ClientUpdates, ServerView, State, Rng], tuple[ClientUpdates, State]]
    init: Callable[[], State] = no_state


@dataclass(frozen=True)
class Aggregator:
    """The paper's g: many updates to one.

    Attributes:
        apply: (updates, view, state) -> (delta [P], trace, state), the state a new one.
        server_data: training images that the server sets aside before the split, uniformly at random;
            ``view.root_update`` is then what training on them gives.
        start_losses: whether clients report their loss before training, ``updates.start_losses``; it costs one pass
            over their data in each round.

    A rule without state is a plain function (``updates, view -> delta``); this one counts its rounds:

    >>> import torch
    >>> def apply(updates, view, state):
    ...     rounds = state["rounds"] + 1
    ...     return updates.deltas.mean(dim=0) / rounds, AggregationTrace({"rounds": float(rounds)}), {"rounds": rounds}
    >>> rule = Aggregator(apply, init=lambda: {"rounds": torch.tensor(0)})
    >>> updates = ClientUpdates(torch.tensor([[2.0], [4.0]]), torch.tensor([1, 1]), torch.tensor([0, 1]))
    >>> _, _, state = rule.apply(updates, None, rule.init())
    >>> rule.apply(updates, None, state)[0]
    tensor([1.5000])
    """

    apply: Callable[[ClientUpdates, ServerView, State], tuple[Tensor, AggregationTrace, State]]
    init: Callable[[], State] = no_state
    server_data: int = 0
    start_losses: bool = False


class ServerLearningRate(Protocol):
    """The step size: (updates before any transform, lr) -> a scalar, or one per parameter [P]."""

    def __call__(self, updates: ClientUpdates, lr: float, /, **options: Any) -> Tensor | float: ...


@dataclass(frozen=True)
class ServerStep:
    """An optimiser on the server, which takes the aggregated delta as its direction (Reddi et al. 2021).

    w_{t+1} = w_t + lr(deltas) * step: it comes before the learning-rate rule, so that a second moment does not cancel a
    sign that the rule turns.

    Attributes:
        apply: (delta [P], state) -> (step [P], state), the state a new one; if ``viewed``, (delta, view, state).
        viewed: whether ``apply`` takes a ``ServerView`` too.
    """

    apply: Callable[..., tuple[Tensor, State]]
    init: Callable[[], State] = no_state
    viewed: bool = False
