"""Opt-IPM: the inner-product manipulation that harms this defence the most, searched in every round."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.attacks.line_search import argmax_on_line
from fedskew.errors import ConfigError
from fedskew.portable import norm, row_mean
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng

STEP = 10.0
"""The first step of the search, as in ByzFL."""


def opt_ipm(info: DatasetInfo, *, evaluations: Annotated[int, Field(ge=1)] = 20) -> Attack:
    """Every adversary sends -eps * mu, with the mean mu of the honest updates and the eps that harms most.

    eps = argmax ||simulate(-eps mu) - simulate(own)|| over a line search: steps from 0 that double while the distance
    grows, then smaller ones around the best. own are the updates of the adversaries' training, so that it is the
    distance from where the round would lead without the attack. ByzFL has ||AGR(-eps mu) - mu||; what is tried here is
    the server's whole step, which only a distance between two such steps makes independent of its learning rate, its
    momentum and the like. The threat model is "knows-the-defence": the adversaries see the honest
    updates and may try rows on the defence. Where a round has no honest client, they send their own updates.

    Args:
        evaluations: how often a round's adversaries try the defence, besides once on their own updates.

    Raises:
        ConfigError: at crafting, without a defence to try.

    Reference: Xie, Koyejo & Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation",
    UAI 2020 (the direction); Shejwalkar & Houmansadr, NDSS 2021, section IV (the optimised factor).

    Against the median of three, one adversary cannot move the result beyond the honest rows.

    >>> from fedskew import craft
    >>> rows = craft("opt-ipm", [[1.0], [3.0]], aggregator="median")
    >>> bool(rows[0, 0] <= 0)
    True
    """

    def manipulate(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        if view.others is None or view.simulate is None:
            raise ConfigError(
                "attack 'opt-ipm' needs the honest updates and a defence to try its rows on",
                "its threat model is 'knows-the-defence'",
            )
        if not len(view.others):
            return deltas
        simulate, mu = view.simulate, row_mean(view.others)
        unharmed = simulate(deltas.clone())

        def harm(eps: float) -> float:
            moved = simulate((-eps * mu).expand_as(deltas).clone())
            return float(norm((moved - unharmed).double()))

        eps = argmax_on_line(harm, evaluations=evaluations, step=STEP)
        return (-eps * mu).expand_as(deltas).clone()

    return Attack(craft=manipulate, threat_model="knows-the-defence")
