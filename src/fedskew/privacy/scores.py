"""Scores of clients and records, kept over rounds: each client's mean over the audited rounds in which it took part."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.protocols import State


def added(state: State, clients: Tensor, scores: Tensor, num_clients: int) -> State:
    """The state with the scores of one more round.

    Args:
        clients: int64 [S], the ids of the round's clients.
        scores: [S, N], of each of them.
    """
    total = state.get("total", torch.zeros(num_clients, scores.shape[1], dtype=torch.float64))
    rounds = state.get("rounds", torch.zeros(num_clients, dtype=torch.int64))
    return {
        "total": total.index_add(0, clients, scores.double()),
        "rounds": rounds.index_add(0, clients, torch.ones_like(clients)),
    }


def means(state: State, num_clients: int, num_records: int) -> Tensor:
    """float64 [K, N], each client's mean over its rounds; NaN for a client that took part in none."""
    if "total" not in state:
        return torch.full((num_clients, num_records), torch.nan, dtype=torch.float64)
    return state["total"] / torch.where(state["rounds"] > 0, state["rounds"], torch.nan)[:, None]
