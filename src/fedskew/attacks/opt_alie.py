"""Opt-ALIE: the multiple of the honest updates' spread that harms this defence the most, searched in every round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.attacks.tailored import most_harmful
from fedskew.portable import row_deviation, row_mean
from fedskew.protocols import Attack, DatasetInfo


def opt_alie(info: DatasetInfo, *, evaluations: Annotated[int, Field(ge=1)] = 20) -> Attack:
    """Every adversary sends what "alie" does, with the z >= 0 that harms most.

    Formula: delta <- mu - z * sigma;
    z = argmax ||simulate(mu - z sigma) - simulate(own)||

    mu and sigma are the coordinate-wise mean and sample standard deviation of the honest updates, as in "alie", and z
    is the best of the line search of "opt-ipm" (``attacks.tailored``): no z of "alie" that it looks at does more
    harm. The threat model is "knows-the-defence". Where a round has no honest client, they send their own updates.

    Args:
        evaluations: how often a round's adversaries try the defence, besides once on their own updates.

    Raises:
        ConfigError: at crafting, without a defence to try.

    Reference: Baruch, Baruch & Goldberg, NeurIPS 2019 (the direction); Shejwalkar & Houmansadr, NDSS 2021, section IV
    (the optimised factor).

    The mean of the updates moves the further the larger z is; the first two that are tried are 0 and 10. The standard
    deviation of 1 and 3 is the root of 2.

    >>> from fedskew import craft
    >>> craft("opt-alie", [[1.0], [3.0]], aggregator="mean", evaluations=2)
    tensor([[-12.1421]])
    """

    def line(honest: Tensor) -> Callable[[float], Tensor]:
        mu, sigma = row_mean(honest), row_deviation(honest)
        return lambda z: mu - z * sigma

    return most_harmful("opt-alie", evaluations, line)
