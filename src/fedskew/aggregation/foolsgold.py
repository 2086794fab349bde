"""FoolsGold: clients that keep sending what another one sends lose their weight (RAID 2020)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from fedskew.aggregation.matrix import cosines, products
from fedskew.portable import weighted_sum
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State

DIGITS = 9
"""Of similarities and weights, that count: logarithms differ in the last bits between processors, and of equal
updates the similarity is 1 but for rounding."""
HIGHEST = 0.99
"""What stands for 1 in the logit, which is infinite there; the authors' number."""


def foolsgold(*, step: Literal["mean", "sum"] = "mean") -> Aggregator:
    """The mean of the updates, weighted by how unlike every other client a client has been so far, [P].

    Formula: v_i = max_j cos(h_i, h_j), with h_i the sum of client i's updates so far;
    cs_ij = cos(h_i, h_j), times v_i / v_j where v_i < v_j;
    alpha_i = 1 - max_j cs_ij, over the largest of them;
    weight_i = ln(alpha_i / (1 - alpha_i)) + 0.5, in [0, 1];
    sum_i weight_i delta_i / sum_i weight_i

    Weights: weight_i

    h_i is the sum of all updates that client i has sent, and cs_ii = 0. The factor v_i / v_j is called pardoning.
    alpha_i is kept in [0, 1] and divided by the largest, 1 counting as 0.99. Where all clients are alike, all weights
    and the result are 0 and the global model stays as it is. Numbers of examples are ignored.

    Two clients with a common aim lose their weight, as intended; so do honest clients with the same data. It therefore
    needs heterogeneous clients, and does nothing against a single adversary. The server keeps one sum for each client
    that it has seen, [K, P]. A row that a transform has made of several clients has no history before its round.

    Args:
        step: "mean" divides by the sum of the weights. "sum", the original, does not: with FedAvg's updates its step is
            up to as many times as long as there are clients, so that ``server.learning_rate`` must be about 1 / S.

    Reference: Fung, Yoon & Beschastnikh, "The Limitations of Federated Learning in Sybil Settings", RAID 2020,
    Algorithm 1; without the optional weighting by features of the output layer and with the paper's kappa = 1.

    The first two are alike, v = (1, 1, 0), alpha = (0, 0, 1).

    >>> from fedskew import aggregate
    >>> aggregate("foolsgold", [[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    tensor([0., 3.])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        history, kept = _with_history(updates, state)
        weights = _weights(cosines(products(history)).round(decimals=DIGITS)).to(updates.deltas.device)
        divisor = float(weights.sum()) if step == "mean" else 1.0
        delta = weighted_sum(weights, updates.deltas) / (divisor or 1.0)
        return delta.to(updates.deltas.dtype), AggregationTrace(client_weights=weights), kept

    return Aggregator(apply)


def _with_history(updates: ClientUpdates, state: State) -> tuple[Tensor, State]:
    """The sum of each row's client so far, this round included, [S, P], and the state after it: the ``clients`` seen
    so far, ascending, and their ``sums``."""
    ids = updates.client_ids.tolist()
    before = dict(zip(state["clients"].tolist(), state["sums"], strict=True)) if state else {}
    rows = [
        before[client] + delta if client in before else delta
        for client, delta in zip(ids, updates.deltas, strict=True)
    ]
    after = before | {client: row for client, row in zip(ids, rows, strict=True) if client >= 0}
    if not after:
        return torch.stack(rows), {}
    seen = sorted(after)
    sums = torch.stack([after[client] for client in seen])
    history = sums if ids == seen else torch.stack(rows)
    return history, {"clients": torch.tensor(seen), "sums": sums}


def _weights(similar: Tensor) -> Tensor:
    """The weights [S] of clients with these similarities [S, S]."""
    similar = similar.cpu().clone().fill_diagonal_(0.0)
    highest = similar.amax(dim=1)
    pardoned = torch.where(highest[:, None] < highest, similar * highest[:, None] / highest, similar)
    unlike = (1 - pardoned.amax(dim=1)).round(decimals=DIGITS).clamp(0.0, 1.0)
    most = float(unlike.max())
    return torch.tensor(
        [_logit(float(value) / most) if most else 0.0 for value in unlike], dtype=torch.float64
    )


def _logit(share: float) -> float:
    """ln(share / (1 - share)) + 0.5, in [0, 1]."""
    if share <= 0:
        return 0.0
    share = min(share, HIGHEST)
    return min(1.0, max(0.0, round(math.log(share / (1 - share)) + 0.5, DIGITS)))
