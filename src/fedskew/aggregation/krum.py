"""Krum and Multi-Krum: the updates that lie closest to their neighbours (Blanchard et al., NeurIPS 2017)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.matrix import squared_distances
from fedskew.aggregation.neighbours import krum_scores, mean_of
from fedskew.errors import ConfigError
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView


def krum(
    updates: ClientUpdates,
    view: ServerView,
    *,
    f: Annotated[int, Field(ge=0)],
    selected: Annotated[int, Field(ge=1)] = 1,
) -> tuple[Tensor, AggregationTrace]:
    """The mean of the ``selected`` updates with the lowest scores, [P].

    Formula: the mean of the selected updates with the lowest score_i;
    score_i = the sum of ||delta_i - delta_j||^2 over the S - f - 2 updates j != i that are nearest to i

    Weights: 1 / selected for the updates taken and 0 for the others

    Equal scores are taken in the order of the rows. The numbers of examples are ignored.

    Args:
        f: how many of a round's updates may be malicious.
        selected: how many updates are averaged; 1 is Krum, more is Multi-Krum, all S of them is the mean.

    Raises:
        ConfigError: fewer than 2f + 3 updates, or fewer than ``selected``.

    Reference: Blanchard, El Mhamdi, Guerraoui & Stainer, "Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent", NeurIPS 2017, section 4 (Krum) and section 6 (Multi-Krum).

    The outlier has no influence. With f = 1 each score is a sum over the 5 - 1 - 2 = 2 nearest updates:
    1 + 2, 1 + 1, 1 + 2, 4 + 9 and far more. The second is lowest; of the two equal scores the first comes next.

    >>> from fedskew import aggregate
    >>> matrix = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 3.0], [100.0, -100.0]]
    >>> aggregate("krum", matrix, f=1)
    tensor([0., 0.])
    >>> aggregate("krum", matrix, f=1, selected=2)
    tensor([0.5000, 0.0000])
    """
    deltas = updates.deltas
    count = len(deltas)
    check_enough("aggregator 'krum'", count, 2 * f + 3, "2f + 3", f=f)
    if selected > count:
        raise ConfigError(f"aggregator 'krum' cannot select {selected} of the {count} updates of a round")
    scores = krum_scores(squared_distances(deltas), f)
    return mean_of(deltas, scores.argsort(stable=True)[:selected])
