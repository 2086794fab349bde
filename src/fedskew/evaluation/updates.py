"""Lengths of updates and the angles between them, for honest and malicious clients."""

from __future__ import annotations

from collections.abc import Collection

import torch

from fedskew.aggregation.matrix import exact_rows
from fedskew.portable import mean, total
from fedskew.protocols import ClientUpdates

_TINY = torch.finfo(torch.float64).tiny


def update_metrics(updates: ClientUpdates, malicious: Collection[int]) -> dict[str, float]:
    """Mean L2 norms and mean pairwise cosine similarities of a round's updates, before any defence.

    ``update_norm_honest``, ``update_norm_malicious``, ``cosine_honest_honest`` (over pairs of different
    clients), ``cosine_honest_malicious``. Left out where there is no such client or pair; a zero update has no
    direction and is left out of the cosines.

    There is no loop over pairs: with u_k = delta_k / ||delta_k||, the cosines of all ordered pairs of n clients sum to
    ||sum_k u_k||^2, of which n are of a client with itself; those between two groups sum to the inner product of
    the groups' sums. In float64, in one pass with the memory of a few rows.
    """
    if not len(updates.client_ids):
        return {}
    bad = torch.tensor([client in malicious for client in updates.client_ids.tolist()])
    # Of the u_k: honest, malicious.
    sums = updates.deltas.new_zeros(2, updates.deltas.shape[1], dtype=torch.float64).unbind()
    lengths = []
    for is_bad, (row, length) in zip(bad.tolist(), exact_rows(updates.deltas), strict=True):
        sums[int(is_bad)].add_(row.div_(length.clamp_min(_TINY)))  # zero, for a zero update
        lengths.append(length)
    norms = torch.stack(lengths).cpu()
    honest, others = ~bad & (norms > 0), bad & (norms > 0)
    found: dict[str, float] = {}
    for name, group in (("honest", ~bad), ("malicious", bad)):
        if group.any():
            found[f"update_norm_{name}"] = float(mean(norms[group]))
    n, m = int(honest.sum()), int(others.sum())
    if n > 1:
        found["cosine_honest_honest"] = float(total(sums[0].square()) - n) / (n * (n - 1))
    if n and m:
        found["cosine_honest_malicious"] = float(total(sums[0] * sums[1])) / (n * m)
    return found
