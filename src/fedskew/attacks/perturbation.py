"""The mean of some updates, moved as far along a direction as a bound on distances allows (NDSS 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from fedskew.portable import norm, row_deviation, weighted_sum

Direction: TypeAlias = Literal["unit", "sign", "std"]
"""p: the mean mu itself, the sign of each of its entries, or the standard deviation of each column."""


def moved(rows: Tensor, direction: Direction, reach: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """mu - gamma * p, [P], with the mean mu of the rows [R, P].

    p has the length 1 here, whatever the direction is: gamma is the distance from mu. Where the direction is 0, the
    result is mu.

    Args:
        reach: (mu, p), both float64 [P], -> gamma.
    """
    mu = weighted_sum(torch.ones(len(rows)), rows) / len(rows)
    p = row_deviation(rows).double() if direction == "std" else mu.sign() if direction == "sign" else mu
    length = norm(p)
    if not length > 0:
        return mu.to(rows.dtype)
    p = p / length
    return (mu - reach(mu, p) * p).to(rows.dtype)
