"""Weights made of the losses that clients report."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.portable import total, weighted_sum
from fedskew.protocols import AggregationTrace, ClientUpdates

DIGITS = 9
"""Of a power or an exponential, that count: their last digits differ between processors."""


def reported_losses(rule: str, updates: ClientUpdates) -> Tensor:
    """F_k, the loss of the global model on each client's data before training, as the client reports it, float64 [S],
    on the CPU.

    Raises:
        ConfigError: the updates do not have it.
    """
    if updates.start_losses is None:
        raise ConfigError(
            f"aggregator {rule!r} needs each client's loss before training (start_losses), and these updates lack it",
            "leave out transforms that make one update of several clients",
        )
    return updates.start_losses.cpu().double()


def significant(values: Tensor) -> Tensor:
    """Numbers [S] rounded to ``DIGITS`` significant digits.

    >>> significant(torch.tensor([1 / 3, 1.0, 0.0], dtype=torch.float64)).tolist()
    [0.333333333, 1.0, 0.0]
    """
    return values.new_tensor([float(f"{value:.{DIGITS}g}") for value in values.tolist()])


def weighted(
    updates: ClientUpdates, weights: Tensor, divisor: Tensor | None = None
) -> tuple[Tensor, AggregationTrace]:
    """sum_k weights_k delta_k / divisor, [P], and the trace with weights_k / divisor; 0 where the divisor is 0.

    Weights of 1 give the unweighted mean, bit for bit.

    Args:
        weights: float64 [S], on the CPU, not negative.
        divisor: without dimensions; the sum of the weights unless given.
    """
    deltas = updates.deltas
    below = float(total(weights) if divisor is None else divisor)
    if not below:
        return torch.zeros_like(deltas[0]), AggregationTrace(client_weights=torch.zeros_like(weights))
    delta = (weighted_sum(weights, deltas) / below).to(deltas.dtype)
    return delta, AggregationTrace(client_weights=weights / below)
