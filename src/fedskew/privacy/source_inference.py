"""Which client holds a record: the one whose local model has the lowest loss on it."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.privacy.scores import added, means, of_asked
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, State


def source_inference() -> PrivacyAttack:
    """The server's attack on who holds a record that is known to have been trained on.

    Formula: argmin over clients k of the mean over rounds t of l(x; w_t + delta_k)

    Under uneven data much of what it finds is that a client has most images of a class: the same guess for images of
    the client that were *not* trained on is reported beside it.

    Reference: Hu, Salcic, Sun, Dobbie & Zhang, "Source Inference Attacks in Federated Learning", ICDM 2021.
    """

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        updates = observation.updates
        if updates is None:
            return state
        deltas, rows = of_asked(updates, view)
        if not len(rows):
            return state
        losses = [view.losses(observation.weights + delta, view.records, view.labels) for delta in deltas]
        return added(state, rows, -torch.stack(losses), len(view.asked))

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(means(state, len(view.asked), len(view.records)))

    return PrivacyAttack("server", "source", guess, observe)
