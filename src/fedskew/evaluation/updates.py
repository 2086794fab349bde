"""Lengths of updates and the angles between them, honest and malicious apart."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from fedskew.protocols import ClientUpdates


def update_metrics(updates: ClientUpdates, malicious: Collection[int]) -> dict[str, float]:
    """Mean L2 norms and mean pairwise cosine similarities of a round's updates, before any defence.

    ``update_norm_honest``, ``update_norm_malicious``, ``cosine_honest_honest`` (over pairs of different
    clients), ``cosine_honest_malicious``. Left out where there is no such client or pair; a zero update has no
    direction and is left out of the cosines.
    """
    if not len(updates.client_ids):
        return {}
    # One Gram matrix of unit vectors serves all angles; lengths in float64, whose squares do not overflow.
    norms = torch.linalg.vector_norm(updates.deltas, dim=1, dtype=torch.float64)
    scale = torch.where(norms > 0, norms, 1.0).to(updates.deltas.dtype)
    units = updates.deltas / scale[:, None]
    cosines, norms = (units @ units.T).cpu().double(), norms.cpu()
    bad = torch.isin(updates.client_ids.cpu(), torch.tensor(sorted(malicious), dtype=torch.int64))
    moving = norms > 0
    found: dict[str, float] = {}
    for name, group in (("honest", ~bad), ("malicious", bad)):
        if group.any():
            found[f"update_norm_{name}"] = float(norms[group].mean())
    honest, others = ~bad & moving, bad & moving
    if honest.sum() > 1:
        found["cosine_honest_honest"] = _mean_off_diagonal(cosines[honest][:, honest])
    if honest.any() and others.any():
        found["cosine_honest_malicious"] = float(cosines[honest][:, others].mean())
    return found


def _mean_off_diagonal(square: Tensor) -> float:
    size = len(square)
    return float((square.sum() - square.trace()) / (size * (size - 1)))
