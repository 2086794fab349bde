"""Membership by what a round's aggregate did to the loss: all that remains to see under secure aggregation."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.privacy.scores import added, means
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, State

ALL = torch.zeros(1, dtype=torch.int64)
"""All clients together are one in the scores that are kept."""


def aggregate_loss() -> PrivacyAttack:
    """The attack of somebody who sees only sums: records whose loss the aggregate lowers were trained on by someone.

    Formula: score(x) = mean over rounds t of l(x; w_t) - l(x; w_t + delta_t), with delta_t the aggregate

    It is ``delta-loss`` with the cohort as one client, so what a client's update says of its records is diluted among
    the others'; a cohort of one would be that attack. It cannot tell whose a record is. delta_t is what the aggregator
    gave, before the server's step and learning rate.

    Under label skew, the aggregate lowers the loss of classes that many clients hold in this round, of members or not:
    that is in the pooled figure and not in the matched one. No optimiser is in the formula; with Adam a late round's
    steps are as long as an early one's, so that the differences of late rounds are larger than with SGD.

    Reference: Nasr, Shokri & Houmansadr, "Comprehensive Privacy Analysis of Deep Learning", 2019, section III, with the
    aggregate instead of a client's update and the difference of losses as the only feature.
    """

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        if observation.delta is None:
            return state
        before = view.losses(observation.weights, view.records, view.labels)
        after = view.losses(observation.weights + observation.delta, view.records, view.labels)
        return added(state, ALL, (before - after)[None], 1)

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(means(state, 1, len(view.records))[0])

    return PrivacyAttack("aggregate", "membership", guess, observe)
