"""n_k inflation: adversaries report more examples than they have, for rules that weight by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedskew.attacks.wrapping import changed, inner_attack, sending
from fedskew.config import Component
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo

Factor = Annotated[float, Field(gt=0, le=1e6)]


def n_k_inflation(info: DatasetInfo, *, of: Component, factor: Factor) -> Attack:
    """The adversaries of ``of`` report more examples than they have.

    Formula: n_k <- max(1, round(factor * n_k))

    Their weight in FedAvg is factor n_k / (sum of all that is reported); rules that ignore n_k (the plain mean, the
    median, Krum) do what they did. Nothing is recorded of the lie: the defence has no way to see it.

    Args:
        of: the attack whose adversaries report so.
        factor: > 0, at most 1e6; 1 is ``of`` itself.

    Of two clients with one example each, an adversary that reports three has three quarters of the weight:

    >>> from fedskew import aggregate
    >>> aggregate("fedavg", [[0.0], [4.0]], num_examples=[1, 3])
    tensor([3.])
    """
    return changed(inner_attack(of, info), lambda attack: inflated(attack, factor))


def inflated(attack: Attack, factor: float) -> Attack:
    """The attack with so many times the n_k that it would have reported."""
    if factor == 1:
        return attack

    def report(sent: Crafted, view: AdversaryView) -> Crafted:
        before = view.num_examples if sent.num_examples is None else sent.num_examples
        reported = (factor * before.double()).round().clamp_min(1)
        return replace(sent, num_examples=reported.to(before.dtype))

    return sending(attack, report)
