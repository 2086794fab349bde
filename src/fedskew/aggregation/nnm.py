"""Nearest-neighbour mixing: each update becomes the mean of those nearest to it (AISTATS 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.matrix import blocks, squared_distances
from fedskew.protocols import ClientUpdates, Rng, ServerView


def nnm(
    updates: ClientUpdates, view: ServerView, rng: Rng, *, f: Annotated[int, Field(ge=0)]
) -> ClientUpdates:
    """Row i is the mean of the S - f updates nearest to update i, itself included, [S, P].

    Formula: delta_i <- sum_{j in N_i} delta_j / (S - f);
    N_i = the S - f updates j with the smallest ||delta_j - delta_i||

    Of two that are equally near, the first one is taken. A row is made of several clients: it has the id -1 and the
    sum of their numbers of examples, as with ``bucketing``, so a rule after it cannot say which clients it left out.
    Steps, losses and uploads are dropped. A rule after it keeps its f.

    Args:
        f: how many of a round's updates may be malicious; with 0 every row is the mean.

    Raises:
        ConfigError: fewer than 2f + 1 updates.

    Reference: Allouah, Farhadkhani, Guerraoui, Gupta, Pinot & Stephan, "Fixing by Mixing: A Recipe for Optimal
    Byzantine ML under Heterogeneity", AISTATS 2023.

    The three nearest are 0 1 3 for each of the first three, and 1 3 90 for the last: the mean of 4/3, 4/3, 4/3, 94/3.

    >>> from fedskew import aggregate
    >>> aggregate("mean", [[0.0], [1.0], [3.0], [90.0]], transforms=[{"name": "nnm", "f": 1}])
    tensor([8.8333])
    """
    deltas = updates.deltas
    count = len(deltas)
    check_enough("transform 'nnm'", count, 2 * f + 1, "2f + 1", f=f)
    if count == 1:
        return updates
    # In the order of the rows, so that rows with the same neighbours are equal to the last bit.
    nearest = squared_distances(deltas).argsort(dim=1, stable=True)[:, : count - f].sort(dim=1).values
    mixed = torch.empty_like(deltas)
    for columns in blocks(deltas):
        part = list(deltas[:, columns].double())
        for row, neighbours in zip(mixed, nearest.tolist(), strict=True):
            row[columns] = _mean([part[neighbour] for neighbour in neighbours])
    return replace(
        updates,
        deltas=mixed,
        num_examples=updates.num_examples[nearest].sum(dim=1),
        client_ids=torch.full_like(updates.client_ids, -1),
        steps=None,
        losses=None,
        uploads={},
        start_losses=None,
    )


def _mean(rows: Sequence[Tensor]) -> Tensor:
    """As ``portable.row_mean``, of rows in float64 that need no copy."""
    result = torch.zeros_like(rows[0])
    for row in rows:
        result += row
    return result / len(rows)
