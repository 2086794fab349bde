"""Rows on a half-line, of which the adversaries send the one that harms the run's own defence the most."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fedskew.attacks.line_search import argmax_on_line
from fedskew.attacks.reference import by_all
from fedskew.errors import ConfigError
from fedskew.portable import norm
from fedskew.protocols import AdversaryView, Attack, Rng

STEP = 10.0
"""The first step of the search, as in ByzFL."""


def most_harmful(name: str, evaluations: int, line: Callable[[Tensor], Callable[[float], Tensor]]) -> Attack:
    """All adversaries send row(x), with the x >= 0 that maximises ||simulate(row(x)) - simulate(own)||.

    The search is ``argmax_on_line``. own are the updates of the adversaries' training, so that it is the distance from
    where the round would lead without the attack. ByzFL has ||AGR(row(x)) - mu||; what is tried here is the server's
    whole step, which only a distance between two such steps makes independent of its learning rate, its momentum and
    the like. The threat model is "knows-the-defence". Where a round has no honest client, they send their own updates.

    Args:
        name: of the attack, for errors.
        evaluations: how often a round's adversaries try the defence, besides once on their own updates.
        line: (honest updates [S - A, P]) -> (x -> row [P]).

    Raises:
        ConfigError: at crafting, without a defence to try.
    """

    def search(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        if view.others is None or view.simulate is None:
            raise ConfigError(
                f"attack {name!r} needs the honest updates and a defence to try its rows on",
                "its threat model is 'knows-the-defence'",
            )
        if not len(view.others):
            return deltas
        simulate, row = view.simulate, line(view.others)
        unharmed = simulate(deltas.clone())

        def harm(x: float) -> float:
            return float(norm((simulate(by_all(row(x), deltas)) - unharmed).double()))

        return by_all(row(argmax_on_line(harm, evaluations=evaluations, step=STEP)), deltas)

    return Attack(craft=search, threat_model="knows-the-defence")
