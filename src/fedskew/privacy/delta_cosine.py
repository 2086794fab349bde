"""Membership by direction: a client's update points to where the loss of its own records falls."""

from __future__ import annotations

from torch import Tensor

from fedskew.privacy.scores import added, means, of_asked
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, State


def delta_cosine() -> PrivacyAttack:
    """The server's attack on each client: records against whose gradient the client's update points were trained on.

    Formula: score_k(x) = mean over rounds t of cos(delta_k, -grad l(x; w_t))

    With one step of SGD the update is a sum over the client's records in which the record's own gradient is one term;
    with many records that term is small. Adam changes the lengths of the coordinates of an update, not their signs in
    the first step, so that the cosine is lower for all records alike. Under skew the gradients of a class resemble each
    other: an update that learns a class points against the gradients of all its images, held out or not.

    Reference: Nasr, Shokri & Houmansadr, "Comprehensive Privacy Analysis of Deep Learning", 2019 (a passive global
    attacker); Li, Li & Ribeiro, "Effective Passive Membership Inference Attacks in Federated Learning against
    Overparameterized Models", ICLR 2023, for the cosine as the only feature.
    """

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        updates = observation.updates
        if updates is None:
            return state
        deltas, rows = of_asked(updates, view)
        if not len(rows):
            return state
        scores = view.cosines(observation.weights, deltas, view.records, view.labels)
        return added(state, rows, scores, len(view.asked))

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(means(state, len(view.asked), len(view.records)))

    return PrivacyAttack("server", "membership", guess, observe)
