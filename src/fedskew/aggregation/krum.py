"""Krum: the update that lies closest to its neighbours (Blanchard et al., NeurIPS 2017)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.neighbours import closest
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView


def krum(
    updates: ClientUpdates, view: ServerView, *, f: Annotated[int, Field(ge=0)]
) -> tuple[Tensor, AggregationTrace]:
    """The update with the lowest score, [P].

    Formula: the update with the lowest score_i;
    score_i = the sum of ||delta_i - delta_j||^2 over the S - f - 2 updates j != i that are nearest to i

    Weights: 1 for the update taken and 0 for the others

    Of equal scores the first in the order of the rows is taken. The numbers of examples are ignored.

    Args:
        f: how many of a round's updates may be malicious.

    Raises:
        ConfigError: fewer than 2f + 3 updates.

    Reference: Blanchard, El Mhamdi, Guerraoui & Stainer, "Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent", NeurIPS 2017, section 4.

    The outlier has no influence. With f = 1 each score is a sum over the 5 - 1 - 2 = 2 nearest updates:
    1 + 2, 1 + 1, 1 + 2, 4 + 9 and far more.

    >>> from fedskew import aggregate
    >>> matrix = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 3.0], [100.0, -100.0]]
    >>> aggregate("krum", matrix, f=1)
    tensor([0., 0.])
    """
    check_enough("aggregator 'krum'", len(updates.deltas), 2 * f + 3, "2f + 3", f=f)
    return closest(updates.deltas, f, 1)
