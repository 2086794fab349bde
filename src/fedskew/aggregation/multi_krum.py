"""Multi-Krum: the mean of the updates that lie closest to their neighbours (Blanchard et al., NeurIPS 2017)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.neighbours import closest
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView


def multi_krum(
    updates: ClientUpdates,
    view: ServerView,
    *,
    f: Annotated[int, Field(ge=0)],
    m: Annotated[int, Field(ge=1)],
) -> tuple[Tensor, AggregationTrace]:
    """The mean of the ``m`` updates with the lowest scores of ``krum``, [P].

    Formula: the mean of the m updates with the lowest score_i;
    score_i = the sum of ||delta_i - delta_j||^2 over the S - f - 2 updates j != i that are nearest to i

    Weights: 1 / m for the updates taken and 0 for the others

    Equal scores are taken in the order of the rows, so m = 1 is ``krum``. The numbers of examples are ignored. An m
    with which at least one of f malicious updates is always in the mean is refused.

    Args:
        f: how many of a round's updates may be malicious.
        m: how many updates are averaged, at most S - f. Published code takes S - f, a fifth of S or ten, so there is no
            default. With f = 0, S is the mean.

    Raises:
        ConfigError: fewer than 2f + 3 updates, or fewer than m + f.

    Reference: Blanchard, El Mhamdi, Guerraoui & Stainer, "Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent", NeurIPS 2017, section 6.

    The scores with f = 1 are 1 + 2, 1 + 1, 1 + 2, 4 + 9 and far more (see ``krum``): the first three are lowest.

    >>> from fedskew import aggregate
    >>> matrix = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 3.0], [100.0, -100.0]]
    >>> aggregate("multi-krum", matrix, f=1, m=3)
    tensor([0.3333, 0.3333])
    """
    deltas = updates.deltas
    check_enough("aggregator 'multi-krum'", len(deltas), 2 * f + 3, "2f + 3", f=f)
    check_enough("aggregator 'multi-krum'", len(deltas), m + f, "m + f", f=f, m=m)
    return closest(deltas, f, m)
