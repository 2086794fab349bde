"""Mean around the median: for each parameter the mean of the values nearest to the median (2018)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.aggregation.columns import by_parameter, mean_near_middle
from fedskew.aggregation.enough import check_enough
from fedskew.portable import row_mean
from fedskew.protocols import ClientUpdates, ServerView


def meamed(updates: ClientUpdates, view: ServerView, *, f: Annotated[int, Field(ge=0)]) -> Tensor:
    """For each parameter the mean of the S - f values that are nearest to the median over the clients, [P].

    Formula: for each parameter j the mean of the S - f values delta_ij with the smallest |delta_ij - median_i
    delta_ij|

    Of two values that are equally near, the smaller one is kept. The numbers of examples are ignored. Which clients are
    left out differs from parameter to parameter, so there are no weights of clients.

    Args:
        f: how many of a round's updates may be malicious; 0 is the mean.

    Raises:
        ConfigError: fewer than 2f + 1 updates.

    Reference: Xie, Koyejo & Gupta, "Generalized Byzantine-tolerant SGD", 2018 (arXiv 1802.10116).

    In order: 0 1 2 9 with the median 1.5, from which 9 is farthest, and -8 2 4 5 with the median 3, from which -8 is
    farthest: (0 + 1 + 2) / 3 and (2 + 4 + 5) / 3.

    >>> from fedskew import aggregate
    >>> aggregate("meamed", [[0.0, 4.0], [9.0, 5.0], [1.0, -8.0], [2.0, 2.0]], f=1)
    tensor([1.0000, 3.6667])
    """
    deltas = updates.deltas
    check_enough("aggregator 'meamed'", len(deltas), 2 * f + 1, "2f + 1", f=f)
    if not f:
        return row_mean(deltas)
    return by_parameter(lambda ordered: mean_near_middle(ordered, len(deltas) - f), deltas)
