"""Divide-and-conquer: leaves out outliers along the main direction of the updates (NDSS 2021)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.portable import row_mean
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView
from fedskew.rounding import whole

_TINY = torch.finfo(torch.float64).tiny
DIGITS = 9
"""Of the highest score, that count. The last bits of products and eigenvectors of matrices depend on the processor and
differ even between equal updates."""


def dnc(
    updates: ClientUpdates,
    view: ServerView,
    *,
    f: Annotated[int, Field(ge=0)],
    iterations: Annotated[int, Field(ge=1)] = 5,
    dimensions: Annotated[int, Field(ge=1)] = 10_000,
    factor: Annotated[float, Field(ge=0)] = 1.0,
) -> tuple[Tensor, AggregationTrace]:
    """The mean of the updates that no iteration leaves out, [P].

    Formula: s_i = <delta_i - mu, v>^2, with v the top right singular vector of the rows delta_i - mu;
    each iteration leaves out the factor * f updates with the highest s_i;
    the mean of those that no iteration leaves out

    Weights: the updates' shares in the mean

    Each iteration looks at the columns of ``dimensions`` coordinates drawn at random, mu being their mean. Scores
    equal to nine digits of the highest are kept in the order of the rows. The numbers of examples are ignored. Where
    no update is left, the result is 0 and the global model stays as it is.

    Args:
        f: how many of a round's updates may be malicious; 0 is the mean.
        iterations: how often coordinates are drawn.
        dimensions: coordinates in a draw; all of them where the model has no more.
        factor: the paper's c: how many updates an iteration leaves out, in units of f; rounded down.

    Raises:
        ConfigError: factor * f is not below the number of updates.

    Reference: Shejwalkar & Houmansadr, "Manipulating the Byzantine", NDSS 2021, Algorithm 2.

    The centred rows are (-2, 0), (-2, 1), (-2, -1), (6, 0); their main direction is the first axis.

    >>> from fedskew import aggregate
    >>> aggregate("dnc", [[0.0, 0.0], [0.0, 1.0], [0.0, -1.0], [8.0, 0.0]], f=1)
    tensor([0., 0.])
    """
    deltas = updates.deltas
    count, parameters = deltas.shape
    dropped = whole(factor * f)
    if dropped >= count:
        raise ConfigError(
            f"aggregator 'dnc' with f = {f} and factor = {factor:g} would leave out {dropped} updates in a round of "
            f"{count}",
            "lower f or factor, or let more clients take part in each round",
        )
    kept = torch.ones(count, dtype=torch.bool, device=deltas.device)
    for _ in range(iterations):
        drawn = np.sort(view.rng.choice(parameters, size=min(dimensions, parameters), replace=False))
        columns = deltas[:, torch.from_numpy(drawn).to(deltas.device)].double()
        scores = _outlier_scores(columns - row_mean(columns))
        ranked = (scores / scores.max().clamp_min(_TINY)).round(decimals=DIGITS).argsort(stable=True)
        kept[ranked[count - dropped :]] = False
    weights = kept.float() / max(1, int(kept.sum()))
    delta = row_mean(deltas[kept]) if kept.any() else torch.zeros_like(deltas[0])
    return delta, AggregationTrace(client_weights=weights)


def _outlier_scores(centred: Tensor) -> Tensor:
    """<row_i, v>^2 for the top right singular vector v of [S, b], float64 [S].

    <row_i, v> = sigma u_i for the top left one u, which is an eigenvector of a matrix [S, S].
    """
    squares, vectors = torch.linalg.eigh(centred @ centred.T)  # in ascending order
    scores: Tensor = squares[-1] * vectors[:, -1].square()
    return scores
