"""Scores of clients and records, kept over rounds: each client's mean over the audited rounds in which it took part."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.protocols import ClientUpdates, PrivacyView, State


def of_asked(updates: ClientUpdates, view: PrivacyView) -> tuple[Tensor, Tensor]:
    """([n, P], int64 [n]): the updates of those clients of a round that the attack is asked about, and which rows of
    its scores these clients have."""
    known = torch.isin(updates.client_ids, view.asked)
    rows = torch.searchsorted(view.asked, updates.client_ids[known])
    deltas = updates.deltas  # a copy of all is not made for nothing
    return (deltas if known.all() else deltas[known.to(deltas.device)]), rows


def added(state: State, rows: Tensor, scores: Tensor, count: int) -> State:
    """The state with the scores of one more round.

    Args:
        rows: int64 [n], whose scores they are.
        scores: [n, N].
        count: of all rows.
    """
    total = state.get("total", torch.zeros(count, scores.shape[1], dtype=torch.float64))
    rounds = state.get("rounds", torch.zeros(count, dtype=torch.int64))
    return {
        "total": total.index_add(0, rows, scores.double()),
        "rounds": rounds.index_add(0, rows, torch.ones_like(rows)),
    }


def means(state: State, count: int, num_records: int) -> Tensor:
    """float64 [count, N], each row's mean over its rounds; NaN for a client that took part in none."""
    if "total" not in state:
        return torch.full((count, num_records), torch.nan, dtype=torch.float64)
    return state["total"] / torch.where(state["rounds"] > 0, state["rounds"], torch.nan)[:, None]
