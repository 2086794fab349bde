"""Observers: what somebody at one seat could record of a round."""

from __future__ import annotations

from collections.abc import Mapping

from fedskew.aggregation.matrix import row_norms
from fedskew.protocols import Observation, Observer


def update_norms() -> Observer:
    """The server's look at how long updates are: the largest L2 norm of a round over the median, a number >= 1.

    Recorded as ``observed_largest_update``; nothing where the median norm is 0 or nobody sent anything. Of an even
    number of updates the median is the mean of the middle two.
    """

    def observe(observation: Observation) -> Mapping[str, float] | None:
        if observation.updates is None or not len(observation.updates.deltas):
            return None
        norms = row_norms(observation.updates.deltas)
        middle = float(norms.quantile(0.5))
        return {"observed_largest_update": float(norms.max()) / middle} if middle else None

    return Observer("server", observe)
