"""An audit of the privacy that an aggregator states: canary clients in one run, and who of them can be told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedskew.components.returned import checked_aggregate
from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.privacy.one_run import epsilon_bound
from fedskew.protocols import ClientUpdates, ParameterLayout, ServerView
from fedskew.seeding import stream

TOO_LONG = 10.0
"""The norm of what a canary sends, in units of the one to which it is to be clipped: a rule that does not clip is
found."""


@dataclass(frozen=True)
class CanaryAudit:
    """What an audit found.

    Attributes:
        stated: the epsilon that the aggregator stated for the run, at ``delta``; infinite where it states none.
        bound: a lower bound on epsilon at ``delta``: above the true one with a probability of at most 1 - confidence.
        highest: the bound if all guesses had been right. An audit cannot refute what is stated above it.
        guesses, right: canaries that the auditor guessed about, and guesses that were right.
    """

    stated: float
    bound: float
    highest: float
    confidence: float
    delta: float
    canaries: int
    guesses: int
    right: int

    @property
    def refuted(self) -> bool:
        """Whether the aggregator gives less privacy than it states, at this confidence."""
        return self.bound > self.stated


def audit_by_canaries(
    clip: float,
    noise_multiplier: float,
    rounds: int,
    *,
    delta: float = 1e-5,
    canaries: int = 1000,
    guesses: int | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    aggregator: str | Callable[..., Any] = "dp-fedavg",
) -> CanaryAudit:
    """Compares the epsilon that an aggregator states with what its results give away about clients.

    Every client is a canary. A fair coin decides whether it takes part: then its update is, in every round, the same
    random direction at ``TOO_LONG`` times the norm ``clip``, else 0, as in the neighbouring run that epsilon is about.
    The directions are orthogonal, so that none hides another, and known to the auditor. After the run, the auditor
    takes the inner product of the sum of all aggregates with each direction, guesses "in" for the highest and "out" for
    the lowest, and abstains on the rest. The number of right guesses gives the bound (``one_run``).

    The real aggregator is called, so a wrong noise, a wrong clip or a wrong accountant would be found, as far as the
    guesses reach (``CanaryAudit.highest``). What is not refuted is not proved: the bound is well below epsilon even for
    a mechanism whose epsilon is exact, since few guesses are about clients on whom the noise gives much away.

    Args:
        clip, noise_multiplier, delta: the aggregator's options.
        canaries: m, the number of clients and of parameters.
        guesses: r; the auditor abstains on the other canaries. Unless given, a fifth of them.
        confidence: of the bound, for this one audit. Fix ``guesses`` before looking: of several audits of one run, the
            highest bound has a lower confidence.
        aggregator: a name or a callable with these three options, for a mechanism of your own; it records ``epsilon``
            in its trace.

    Raises:
        ConfigError: a number out of its range, or an aggregator that returns what it may not.

    Reference: Steinke, Nasr & Jagielski, "Privacy Auditing with One (1) Training Run", NeurIPS 2023 (arXiv 2305.08846).
    Clients as canaries, with random directions, are from Andrew, Kairouz, Oh, Oprea, McMahan & Suriyakumar, "One-shot
    Empirical Privacy Estimation for Federated Learning", 2023 (arXiv 2302.03098), who estimate epsilon without a bound.
    """
    made = max(1, canaries // 5) if guesses is None else guesses
    for name, value, valid, expected in (
        ("rounds", rounds, rounds >= 1, "at least 1"),
        ("canaries", canaries, canaries >= 2, "at least 2"),
        ("guesses", made, 1 <= made <= canaries, f"at least 1 and at most the {canaries} canaries"),
    ):
        if not valid:
            raise ConfigError(f"{name} = {value}: must be {expected}", field=name)
    options = {"clip": clip, "noise_multiplier": noise_multiplier, "delta": delta}
    rule = Component.model_validate({"name": aggregator, **options})
    highest = epsilon_bound(canaries, made, made, delta, confidence)
    rng = stream(seed, "canaries")
    directions = torch.from_numpy(np.linalg.qr(rng.standard_normal((canaries, canaries)))[0].T.copy())
    taking_part = rng.random(canaries) < 0.5
    seen, stated = _run(rule, directions * torch.from_numpy(taking_part)[:, None], clip, rounds, seed)
    order = (directions @ seen).argsort().numpy()
    lowest = made // 2
    right = int((~taking_part[order[:lowest]]).sum() + taking_part[order[canaries - (made - lowest) :]].sum())
    bound = epsilon_bound(canaries, made, right, delta, confidence)
    return CanaryAudit(stated, bound, highest, confidence, delta, canaries, made, right)


def _run(rule: Component, sent: Tensor, clip: float, rounds: int, seed: int) -> tuple[Tensor, float]:
    """The sum of a run's aggregates, float64 [P], and the epsilon that was stated in its last round.

    Args:
        sent: float64 [S, P], the direction that each client sends in every round; 0 for one that does not take part.
    """
    aggregator, count = build_rule("aggregator", rule), len(sent)
    state, seen, stated = aggregator.init(), torch.zeros(count, dtype=torch.float64), float("inf")
    weights, rows = torch.zeros(count), (sent * (TOO_LONG * clip)).float()
    for number in range(1, rounds + 1):
        updates = ClientUpdates(rows.clone(), torch.ones(count, dtype=torch.int64), torch.arange(count))
        view = ServerView(
            round=number,
            global_weights=weights.clone(),
            layout=ParameterLayout(("weights",), ((count,),)),
            num_clients=count,
            rng=stream(seed, "aggregator", number),
            num_updates=count,
        )
        result = aggregator.apply(updates, view, state)
        delta, trace, state = checked_aggregate(rule.label, result, weights, count)
        seen += delta.double()
        stated = trace.values.get("epsilon", float("inf"))
    return seen, stated
