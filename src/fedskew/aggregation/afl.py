"""AFL: the mixture of clients on which the model is worst, learned along with it (ICML 2019)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.reported import reported_losses, weighted
from fedskew.errors import ConfigError
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State


def afl(*, gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)]) -> Aggregator:
    """A mean whose weights rise with the clients' losses of the global model, round by round, [P].

    Formula: sum_k lambda_k delta_k / sum_k lambda_k over the cohort;
    then lambda <- the point of the simplex nearest to lambda + gamma F

    lambda is a mixture of all K clients, at first 1 / K each. After the round it becomes the point of the simplex
    (lambda_k >= 0, sum 1) nearest to lambda_k + gamma F_k, where F_k is the loss of the global model on client k's data
    before its training, as the client reports it. So the model descends on a mixture that ascends, towards a
    model that is best on its worst mixture of clients. gamma = 0 is the unweighted mean, bit for bit.

    Weights: the shares in the result.

    The paper has all clients in every round. Of a drawn cohort only those clients rise that are in it, while all are
    moved down together: who is drawn rarely loses weight for that alone. Where nobody in the cohort has any, the
    result is 0 and the global model stays as it is. Clients without data never rise. The numbers of examples are
    ignored, and it does not matter which optimiser clients use; the paper also averages the models of all rounds,
    which is not done here.

    A client that keeps reporting a high loss takes all weight in the end: nothing here tells a neglected client from
    an adversary.

    Args:
        gamma: >= 0, per unit of loss, nats. With gamma F_k near 1 a single round moves most of the weight.

    Raises:
        ConfigError: at aggregation, updates without these losses or of several clients.

    Reference: Mohri, Sivek & Suresh, "Agnostic Federated Learning", ICML 2019 (arXiv 1902.00146), Stochastic-AFL.

    The first round has equal weights; after it, (0.5 + 0.4, 0.5) is projected to (0.7, 0.3).

    >>> from fedskew import aggregate
    >>> aggregate("afl", [[1.0, 0.0], [0.0, 4.0]], start_losses=[4.0, 0.0], gamma=0.1)
    tensor([0.5000, 2.0000])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        losses, ids = reported_losses("afl", updates), updates.client_ids.cpu()
        mixture = state["mixture"].cpu() if state else _uniform(view.num_clients)
        if int(ids.min()) < 0:
            raise ConfigError(
                "aggregator 'afl' needs one update per client, and got a mean of several",
                "leave out the transform that makes it",
            )
        if int(ids.max()) >= len(mixture):
            raise ConfigError(
                f"aggregator 'afl' weighs the {len(mixture)} clients of its first round, counted from 0, and got an "
                f"update of client {int(ids.max())}"
            )
        own = mixture[ids]
        highest = own.max()
        # In units of the highest, so that equal ones are exactly 1.
        result = weighted(updates, own / highest if highest else own)
        risen = mixture.clone()
        risen[ids] += gamma * losses
        return *result, {"mixture": _on_simplex(risen)}

    return Aggregator(apply, start_losses=True)


def _uniform(clients: int) -> Tensor:
    return torch.full((clients,), 1 / clients, dtype=torch.float64)


def _on_simplex(point: Tensor) -> Tensor:
    """The nearest point [K] without negative coordinates whose sum is 1: max(0, point - theta).

    >>> _on_simplex(torch.tensor([1.0, 0.5, -1.0])).tolist()
    [0.75, 0.25, 0.0]
    """
    point = point - point.max()  # the same nearest point, and no number too large for the 1 to count
    falling = -np.sort(-point.numpy())
    thresholds = (np.cumsum(falling) - 1) / np.arange(1, len(falling) + 1)
    theta = float(thresholds[np.flatnonzero(falling > thresholds)[-1]])
    return (point - theta).clamp_min(0.0)
