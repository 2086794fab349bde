"""Update transforms: steps between the clients and the aggregator. Each makes only one new matrix [S, P]."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedskew.aggregation.matrix import row_norms
from fedskew.protocols import ClientUpdates, Rng, ServerView


def clip(
    updates: ClientUpdates, view: ServerView, rng: Rng, *, norm: Annotated[float, Field(gt=0)]
) -> ClientUpdates:
    """delta / max(1, ||delta|| / norm) for each client: no update is longer than ``norm`` (L2; Sun et al. 2019)."""
    shrink = (norm / row_norms(updates.deltas)).clamp_max(1.0).to(updates.deltas.dtype)
    return updates.with_deltas(updates.deltas * shrink[:, None])


def noise(
    updates: ClientUpdates, view: ServerView, rng: Rng, *, std: Annotated[float, Field(ge=0)]
) -> ClientUpdates:
    """Adds independent Gaussian noise of standard deviation ``std`` to every entry (Sun et al. 2019)."""
    if std == 0:
        return updates
    drawn = torch.from_numpy(rng.standard_normal(tuple(updates.deltas.shape), dtype="float32")).mul_(std)
    # Added into the noise, which is a new matrix already: no third one.
    return updates.with_deltas(drawn.to(updates.deltas.device).add_(updates.deltas))
