"""q-FedAvg: more weight for clients on whose data the model is worse (ICLR 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.matrix import row_norms
from fedskew.aggregation.reported import reported_losses, significant, weighted
from fedskew.portable import total
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State


def q_fedavg(
    *, q: Annotated[float, Field(ge=0)], lipschitz: Annotated[float, Field(ge=0, allow_inf_nan=False)]
) -> Aggregator:
    """A mean in which clients with a high loss of the global model count more, and which long updates shorten, [P].

    Formula: sum_k F_k^q delta_k / sum_k F_k^q (1 + q L ||delta_k||^2 / F_k)

    F_k is the loss of the global model on client k's data before its training, as the client reports it. This is the
    paper's sum_k Delta_k / sum_k h_k with Delta_k = L F_k^q delta_k and h_k = q F_k^(q-1) ||L delta_k||^2 + L F_k^q.
    q = 0 is the unweighted mean, bit for bit; the larger q, the more the clients with the highest losses count.

    Weights: those of the updates in the result: their sum is below 1 by what h shortens the step.

    - A client that reports F_k = 0 has the weight 0, and no part in either sum (with q > 0). Where all do, the result
      is 0 and the global model stays as it is. The authors' code adds 1e-10 to all losses instead.
    - For q < 1, a loss near 0 makes h_k large and so the round's step short, for all clients.
    - L estimates how fast a client's gradient changes; the authors use 1 / learning rate, for local SGD. With Adam the
      length of an update says nothing about its gradient, so L has no such meaning there, and is only how much long
      updates shorten the step; L = 0 leaves the weighted mean with weights F_k^q.

    Whoever reports a high loss gains weight: a client with an unusual task, as intended, as well as an adversary whose
    poisoned data the model does not fit yet, or who lies. The numbers of examples are ignored.

    Args:
        q: >= 0.
        lipschitz: L >= 0, in units of 1 / learning rate.

    Raises:
        ConfigError: at aggregation, updates without these losses.

    Reference: Li, Sanjabi, Beirami & Smith, "Fair Resource Allocation in Federated Learning", ICLR 2020
    (arXiv 1905.10497), q-FedAvg.

    The norms are 1 and 2, the weights 1 and 2, the divisors 1 + 1 and 2 + 4: ((1, 0) + (0, 4)) / 8.

    >>> from fedskew import aggregate
    >>> aggregate("q-fedavg", [[1.0, 0.0], [0.0, 2.0]], start_losses=[1.0, 2.0], q=1.0, lipschitz=1.0)
    tensor([0.1250, 0.5000])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        losses = reported_losses("q-fedavg", updates)
        # In units of the highest loss, which divides both sums alike: nothing overflows.
        scaled = torch.where(losses > 0, losses / losses.max(), 0.0)
        weights = significant(scaled**q)
        squares = row_norms(updates.deltas).square().cpu()
        shorter = torch.where(losses > 0, q * lipschitz * squares / losses, 0.0)
        counted = torch.where(weights > 0, weights * (1 + shorter), 0.0)
        return *weighted(updates, weights, total(counted)), state

    return Aggregator(apply, start_losses=True)
