"""Observers: what can be recorded of a round from one seat."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from fedskew.aggregation.matrix import row_norms
from fedskew.protocols import Observation, Observer


def update_norms() -> Observer:
    """The server's view of the lengths of updates: the largest L2 norm of a round over the median, a number >= 1.

    Formula: max_i ||delta_i|| / median_i ||delta_i||

    Recorded as ``observed_largest_update``; nothing where the median norm is 0 or no update was sent. Of an even
    number of updates the median is the mean of the middle two.
    """

    def observe(observation: Observation) -> Mapping[str, float] | None:
        if observation.updates is None or not len(observation.updates.deltas):
            return None
        norms = row_norms(observation.updates.deltas).tolist()
        middle = statistics.median(norms)
        return {"observed_largest_update": max(norms) / middle} if middle else None

    return Observer("server", observe)
