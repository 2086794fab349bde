"""Membership by loss: whoever has the model takes records with a low loss for members."""

from __future__ import annotations

import math

from torch import Tensor

from fedskew.protocols import Guess, PrivacyAttack, PrivacyView, State


def loss_threshold() -> PrivacyAttack:
    """The outsider's simplest attack: a record on which the final model has a low loss was trained on.

    Formula: score(x) = -l(x; w_T); member if l(x; w_T) is below the mean loss

    The original threshold is the mean loss on the training data, which an outsider does not know: here it is the mean
    over the records, half of which were trained on.

    Reference: Yeom, Giacomelli, Fredrikson & Jha, "Privacy Risk in Machine Learning: Analyzing the Connection to
    Overfitting", 2018, section 3.
    """

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        losses = view.losses(final, view.records, view.labels).double()
        mean = float(losses.mean())
        return Guess(-losses, threshold=-mean if math.isfinite(mean) else None)

    return PrivacyAttack("outsider", "membership", guess)
