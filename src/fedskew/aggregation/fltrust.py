"""FLTrust: clients are trusted as far as they agree with the server's own update (NDSS 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.matrix import exact_rows
from fedskew.errors import ConfigError
from fedskew.portable import norm, total, weighted_sum
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State


def fltrust(*, images: Annotated[int, Field(ge=1)] = 100) -> Aggregator:
    """The mean of the updates, each as long as the server's own, weighted by the trust in them, [P].

    Formula: trust_i = max(0, cos(delta_i, g_0)), with g_0 the root update;
    sum_i trust_i (||g_0|| / ||delta_i||) delta_i / sum_i trust_i

    Weights: trust_i / sum_i trust_i

    g_0 is the root update, which the same local training gives on the server's own images. Where no client is trusted,
    the result is 0 and the global model stays as it is. Numbers of examples are ignored.

    Args:
        images: training images that the server sets aside; clients do not get them.

    Raises:
        ConfigError: at aggregation, without a root update.

    Reference: Cao, Fang, Liu & Gong, "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping",
    NDSS 2021, section IV.

    The root update has norm 2. The trust is 1 and 0.6 and, for the opposite direction, 0:
    (1 * (2, 0) + 0.6 * (1.2, 1.6)) / 1.6 = (1.7, 0.6).

    >>> from fedskew import aggregate
    >>> aggregate("fltrust", [[5.0, 0.0], [3.0, 4.0], [-9.0, 0.0]], root_update=[2.0, 0.0])
    tensor([1.7000, 0.6000])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        if view.root_update is None:
            raise ConfigError("aggregator 'fltrust' needs a root update, the server's own (root_update)")
        root = view.root_update.double()
        length = norm(root)
        trust, scale = [], []
        for row, own in exact_rows(updates.deltas):
            cosine = torch.where(own * length > 0, total(row.mul_(root)) / (own * length), 0.0)
            trust.append(cosine.clamp_min(0.0))
            scale.append(torch.where(own > 0, length / own, 0.0))
        shares = torch.stack(trust)
        shares = torch.where(total(shares) > 0, shares / total(shares), 0.0)
        delta = weighted_sum(shares * torch.stack(scale), updates.deltas).to(updates.deltas.dtype)
        return delta, AggregationTrace(client_weights=shares), state

    return Aggregator(apply, server_data=images)
