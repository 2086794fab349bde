"""DP-FedAvg: the mean of clipped updates plus Gaussian noise, with the privacy that it gives a client (ICLR 2018)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.clipped import clipped_mean
from fedskew.aggregation.matrix import row_norms
from fedskew.aggregation.privacy import epsilon
from fedskew.errors import ConfigError
from fedskew.portable import norm
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State

DIGITS = 6
"""Of epsilon, that are recorded: logarithms differ in the last bits between processors."""


def dp_fedavg(
    *,
    clip: Annotated[float, Field(gt=0)],
    noise_multiplier: Annotated[float, Field(ge=0)],
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5,
) -> Aggregator:
    """The unweighted mean of clipped updates with Gaussian noise, [P].

    Formula: mean_k delta_k min(1, clip / ||delta_k||) + N(0, (z clip / S)^2), with z = noise_multiplier

    A client moves the sum by at most ``clip``, whatever finite numbers it sends; weights n_k would break this bound. An
    update with a NaN or an infinity is left out before this rule sees it: S is then the number of those that are left,
    for the mean and the noise, and the round does not count as one of that client's. Who learns S learns of it, so what
    is stated below holds for clients all of whose updates are finite. With noise, the trace holds

    - ``epsilon`` at ``delta`` of the rounds so far, for the client that took part in the most of them. Neighbours are
      two runs of which one has updates of 0 for one client in all rounds. It is exact for what the aggregates reveal
      to somebody who knows who took part in which round (``aggregation.privacy``), as this run's records do; it uses
      nothing of the secrecy of a drawn cohort.
    - ``signal_to_noise``, the norm of the mean of the clipped updates over that of the noise, z clip sqrt(P) / S.
      Over T rounds noise adds up to about sqrt(T) times that of one round, the updates to at most T times: where
      signal_to_noise * sqrt(T) is below 1, the model is mostly noise (docs/privacy.md). It is computed from the
      updates, for the study; a server that published it would give more away than epsilon says.

    Args:
        clip: the L2 norm C to which updates are clipped.
        noise_multiplier: z, the standard deviation of the noise on the sum in units of ``clip``; 0 adds none, and
            gives no privacy.
        delta: at which epsilon is stated; choose it well below 1 / clients.

    Raises:
        ConfigError: at aggregation, of rows that stand for several clients.

    Reference: McMahan, Ramage, Talwar & Zhang, "Learning Differentially Private Recurrent Language Models", ICLR 2018,
    Algorithm 1, with flat clipping and a fixed number of clients in a round.

    The first update is clipped from a norm of 5 to 1: ((0.6, 0.8) + (0, 0.2)) / 2.

    >>> from fedskew import aggregate
    >>> aggregate("dp-fedavg", [[3.0, 4.0], [0.0, 0.2]], clip=1.0, noise_multiplier=0.0)
    tensor([0.3000, 0.5000])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        rows = updates.deltas
        count, parameters = rows.shape
        mean = clipped_mean(rows, row_norms(rows), clip)
        if not noise_multiplier:
            return mean.to(rows.dtype), AggregationTrace(), state
        taken = _counted(updates, state)
        spread = noise_multiplier * clip / count
        drawn = torch.from_numpy(view.rng.standard_normal(parameters)).to(rows.device)
        stated = epsilon(noise_multiplier, int(taken.max()), delta=delta)
        trace = {
            "epsilon": float(f"{stated:.{DIGITS}g}"),
            "signal_to_noise": float(norm(mean)) / (spread * math.sqrt(parameters)),
        }
        return mean.add_(drawn.mul_(spread)).to(rows.dtype), AggregationTrace(trace), {"rounds": taken}

    return Aggregator(apply)


def _counted(updates: ClientUpdates, state: State) -> Tensor:
    """In how many rounds each client has taken part, this one included, int64 [highest id so far + 1]."""
    ids = updates.client_ids.cpu()
    if int(ids.min()) < 0:
        raise ConfigError(
            "aggregator 'dp-fedavg' needs one update per client, and got a mean of several, for which the privacy "
            "that it states would not hold",
            "leave out the transform that makes it",
        )
    before = state.get("rounds", torch.zeros(0, dtype=torch.int64)).cpu()
    taken = torch.zeros(max(len(before), int(ids.max()) + 1), dtype=torch.int64)
    taken[: len(before)] = before
    taken[ids] += 1
    return taken
