"""Opt-IPM: the inner-product manipulation that harms this defence the most, searched in every round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.attacks.tailored import most_harmful
from fedskew.portable import row_mean
from fedskew.protocols import Attack, DatasetInfo


def opt_ipm(info: DatasetInfo, *, evaluations: Annotated[int, Field(ge=1)] = 20) -> Attack:
    """Every adversary sends minus the mean mu of the honest updates, times the factor that harms most.

    Formula: delta <- -eps * mu;
    eps = argmax ||simulate(-eps mu) - simulate(own)||

    eps is the best of a line search: steps from 0 that double while the distance
    grows, then smaller ones around the best (``attacks.tailored``). The threat model is "knows-the-defence": the
    adversaries see the honest updates and may try rows on the defence. Where a round has no honest client, they send
    their own updates.

    Args:
        evaluations: how often a round's adversaries try the defence, besides once on their own updates.

    Raises:
        ConfigError: at crafting, without a defence to try.

    Reference: Xie, Koyejo & Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation",
    UAI 2020 (the direction); Shejwalkar & Houmansadr, NDSS 2021, section IV (the optimised factor).

    Against the median of three, one adversary cannot move the result beyond the honest rows.

    >>> from fedskew import craft
    >>> rows = craft("opt-ipm", [[1.0], [3.0]], aggregator="median")
    >>> bool(rows[0, 0] <= 0)
    True
    """

    def line(honest: Tensor) -> Callable[[float], Tensor]:
        mu = row_mean(honest)
        return lambda eps: -eps * mu

    return most_harmful("opt-ipm", evaluations, line)
