"""Membership by what a client's training did to the loss: the server compares the model before and after."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.privacy.scores import added, means, of_asked
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, State


def delta_loss() -> PrivacyAttack:
    """The server's attack on each client: records whose loss the client's update lowers were trained on by it.

    Formula: score_k(x) = mean over rounds t of l(x; w_t) - l(x; w_t + delta_k)

    Reference: Nasr, Shokri & Houmansadr, "Comprehensive Privacy Analysis of Deep Learning", 2019, section III (a
    passive global attacker), with the difference of losses as the only feature.
    """

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        updates = observation.updates
        if updates is None:
            return state
        deltas, rows = of_asked(updates, view)
        if not len(rows):
            return state
        before = view.losses(observation.weights, view.records, view.labels)
        after = [view.losses(observation.weights + delta, view.records, view.labels) for delta in deltas]
        return added(state, rows, before - torch.stack(after), len(view.asked))

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(means(state, len(view.asked), len(view.records)))

    return PrivacyAttack("server", "membership", guess, observe)
