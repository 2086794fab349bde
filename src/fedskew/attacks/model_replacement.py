"""Model replacement: updates scaled so that the server's average becomes the adversaries' own model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedskew.attacks.needs import of_factor
from fedskew.attacks.wrapping import MoreKnown, changed, inner_attack, sending
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.portable import row_mean, total
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo

LEAST_SHARE = 1e-6
"""Of the adversaries in the server's step, below which the defence is taken to ignore them."""


def model_replacement(
    info: DatasetInfo,
    *,
    of: Component,
    factor: Annotated[float, Field(gt=0)] | None = None,
    threat_model: MoreKnown = None,
) -> Attack:
    """Each adversary of ``of`` sends factor times its update.

    Formula: delta <- factor * delta;
    factor = S / (A eta) for the mean;
    factor = (sum of n_k) / ((sum of the adversaries' n_k) eta) for FedAvg

    Who divides by what: the plain mean divides the sum of the A adversaries' updates by the S updates of the round,
    FedAvg weights them by n_k / (sum of n_k), and both are multiplied by the server's learning rate eta. The global
    model becomes the (weighted) mean of the adversaries' models with these factors, if the honest updates cancel. The
    paper's n / eta is that of one adversary and a server that divides by all n participants, in the cohort or not.

    Unless it is given, the factor is measured on the run's own defence: with the mean x of the adversaries' rows, sent
    by all of them, and s = simulate(x) - simulate(0), it is 1 / (<x, s> / <x, x>). For the two rules above that is the
    formula; for another one it is what its answer to x suggests, which need not replace the model. Where the
    adversaries have no share in the result (below 1e-6, or against x), they send what they have.

    Args:
        of: the attack whose updates are scaled.
        factor: > 0; 1 is ``of`` itself.
        threat_model: what the adversaries know, where it is more than ``of`` needs.

    Raises:
        ConfigError: no factor, and the threat model does not know the defence.

    Reference: Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020, equation 3.

    One adversary among four clients under the mean, whose rate is 1, has the factor 4 / 1:

    >>> from fedskew import craft
    >>> honest = [[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    >>> craft("model-replacement", honest, own=[[2.0, 0.5]], of="none", threat_model="knows-the-defence")
    tensor([[8., 2.]])
    """
    inner = inner_attack(of, info, threat_model)
    if why := of_factor(factor, inner.threat.knows_defence):
        raise ConfigError(f"attack 'model-replacement' {why}")
    return changed(inner, lambda attack: scaled(attack, factor))


def scaled(attack: Attack, factor: float | None) -> Attack:
    """The attack with its updates times a factor; None: the one that replaces the model."""
    if factor == 1:
        return attack

    def scale(sent: Crafted, view: AdversaryView) -> Crafted:
        by = replacing(sent, view) if factor is None else factor
        return replace(sent, deltas=by * sent.deltas)

    return sending(attack, scale)


def replacing(sent: Crafted, view: AdversaryView) -> float:
    """1 / (the share that the adversaries' common row has in the server's step); 1 where it has none."""
    if view.simulate is None:
        raise ConfigError(
            "attack 'model-replacement' needs a defence to measure its factor on",
            "give it one, factor = ..., or the threat model 'knows-the-defence'",
        )
    common = row_mean(sent.deltas)
    reported = () if sent.num_examples is None else (sent.num_examples,)
    rows = common.expand_as(sent.deltas)
    moved = view.simulate(rows.clone(), *reported) - view.simulate(rows * 0, *reported)
    length = float(total(common.double().square()))
    share = float(total(common.double() * moved.double())) / length if length else 0.0
    return 1 / share if share >= LEAST_SHARE else 1.0
