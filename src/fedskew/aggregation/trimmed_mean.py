"""Trimmed mean: the largest and the smallest values of each parameter are left out (ICML 2018)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import by_parameter
from fedskew.aggregation.enough import check_enough
from fedskew.portable import row_mean
from fedskew.protocols import ClientUpdates, ServerView


def trimmed_mean(updates: ClientUpdates, view: ServerView, *, b: Annotated[int, Field(ge=0)]) -> Tensor:
    """For each parameter the mean over the clients without the ``b`` largest and the ``b`` smallest values, [P].

    Formula: for each parameter j the mean of all delta_ij but the b largest and the b smallest

    The numbers of examples are ignored. Which clients are left out differs from parameter to parameter, so there are
    no weights of clients.

    Args:
        b: values that are left out at each end; at least the number of malicious clients in a round. 0 is the mean.

    Raises:
        ConfigError: fewer than 2b + 1 updates.

    Reference: Yin, Chen, Ramchandran & Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
    Rates", ICML 2018, where the share of values that is left out at each end is given instead of their number.

    In order: 0 1 2 9, of which 1 and 2 are left, and -8 2 4 5, of which 2 and 4 are left.

    >>> from fedskew import aggregate
    >>> aggregate("trimmed-mean", [[0.0, 4.0], [9.0, 5.0], [1.0, -8.0], [2.0, 2.0]], b=1)
    tensor([1.5000, 3.0000])
    """
    deltas = updates.deltas
    check_enough("aggregator 'trimmed-mean'", len(deltas), 2 * b + 1, "2b + 1", b=b)
    if not b:
        return row_mean(deltas)
    return by_parameter(lambda ordered: row_mean(ordered[b:-b]), deltas)
