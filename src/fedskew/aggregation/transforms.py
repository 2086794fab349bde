"""Update transforms: steps between the clients and the aggregator. Each makes only one new matrix [S, P]."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import middle
from fedskew.aggregation.matrix import row_norms
from fedskew.protocols import ClientUpdates, Rng, ServerView


def clip(
    updates: ClientUpdates,
    view: ServerView,
    rng: Rng,
    *,
    norm: Annotated[float, Field(gt=0)] | Literal["median"],
) -> ClientUpdates:
    """Updates, of which none is longer than ``norm`` (L2).

    Formula: delta_i / max(1, ||delta_i|| / norm)

    Args:
        norm: a length, or "median": that of the round's updates (of an even number the mean of the middle two), which
            needs no tuning and shortens about half of them, but needs the lengths of all: under secure aggregation it
            is refused.

    Reference: Sun, Kairouz, Suresh & McMahan, "Can You Really Backdoor Federated Learning?", 2019 (arXiv 1911.07963).

    The lengths are 5, 2 and 1 with the median 2: the first update becomes (1.2, 1.6).

    >>> from fedskew import aggregate
    >>> matrix = [[3.0, 4.0], [2.0, 0.0], [1.0, 0.0]]
    >>> aggregate("mean", matrix, transforms=[{"name": "clip", "norm": "median"}])
    tensor([1.4000, 0.5333])
    """
    norms = row_norms(updates.deltas)
    return shortened(updates, norms, middle(norms.sort().values) if norm == "median" else norm)


def shortened(updates: ClientUpdates, norms: Tensor, longest: Tensor | float) -> ClientUpdates:
    """The same directions, none longer than ``longest``.

    Args:
        norms: float64 [S], the lengths that the updates have.
    """
    shrink = torch.where(norms > longest, longest / norms, 1.0).to(updates.deltas.dtype)
    return updates.with_deltas(updates.deltas * shrink[:, None])


def noise(
    updates: ClientUpdates, view: ServerView, rng: Rng, *, std: Annotated[float, Field(ge=0)]
) -> ClientUpdates:
    """Adds independent Gaussian noise of standard deviation ``std`` to every entry.

    Formula: delta_i + N(0, std^2) in every entry

    Reference: Sun, Kairouz, Suresh & McMahan, "Can You Really Backdoor Federated Learning?", 2019 (arXiv 1911.07963).
    """
    if std == 0:
        return updates
    drawn = torch.from_numpy(rng.standard_normal(tuple(updates.deltas.shape), dtype="float32")).mul_(std)
    # Added into the noise, which is a new matrix already: no third one.
    return updates.with_deltas(drawn.to(updates.deltas.device).add_(updates.deltas))
