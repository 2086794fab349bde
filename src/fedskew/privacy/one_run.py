"""From right guesses about canaries in one run to a lower bound on epsilon (Steinke, Nasr & Jagielski, 2023)."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom

from fedskew.errors import ConfigError

STEPS = 40
"""Halvings of an interval of length 1: the bound is exact to about 1e-12."""


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """How probable so many right guesses are at most, if the mechanism is (epsilon, delta)-private.

    Formula: P[W >= v] + 2 m delta max_{i = 1..v} P[v > W >= v - i] / i;
    W ~ Binomial(r, e^epsilon / (1 + e^epsilon))

    m canaries are in or out of the run by a fair coin each; r of them are guessed, v rightly, the others abstained on.

    Args:
        canaries: m.
        guesses: r.
        right: v.

    Raises:
        ConfigError: not 0 <= right <= guesses <= canaries.

    Reference: Steinke, Nasr & Jagielski, "Privacy Auditing with One (1) Training Run", NeurIPS 2023 (arXiv
    2305.08846v1, Corollary 5.4 and appendix D).

    A private mechanism with e^epsilon = 3 lets an auditor be right 3 times in 4, so 2 of 2 with probability 9/16.

    >>> round(p_value(2, 2, 2, math.log(3), 0.0), 6)
    0.5625
    """
    if not 0 <= right <= guesses <= canaries:
        raise ConfigError(
            f"{right} right guesses of {guesses} about {canaries} canaries: must be 0 <= right <= guesses <= canaries"
        )
    correct = 1 / (1 + math.exp(-epsilon))
    likely = float(binom.sf(right - 1, guesses, correct))
    if not right:
        return min(1.0, likely)
    # P[v > W >= v - i] for i = 1 .. v.
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, correct))
    steepest = float((below / np.arange(1, right + 1)).max())
    return min(1.0, likely + 2 * canaries * delta * steepest)


def epsilon_bound(canaries: int, guesses: int, right: int, delta: float, confidence: float) -> float:
    """The lower bound: below it, every epsilon makes so many right guesses too improbable; 0 where none does.

    If the mechanism is (epsilon, delta)-private, the bound is above epsilon with a probability of at most
    1 - ``confidence``.

    Raises:
        ConfigError: as ``p_value``; a number out of its range.

    A coin would be right 100 times of 100 once in 2^100; the stated epsilon must be 3.49 at least.

    >>> round(epsilon_bound(1000, 100, 100, 0.0, 0.95), 2)
    3.49
    """
    for name, value in (("delta", delta), ("confidence", confidence)):
        if not 0 <= value < 1:
            raise ConfigError(f"{name} = {value:g}: must be at least 0 and below 1", field=name)
    error = 1 - confidence

    def refuted(epsilon: float) -> bool:
        return p_value(canaries, guesses, right, epsilon, delta) < error

    if not refuted(0.0):
        return 0.0
    low = 0.0
    while refuted(low + 1):
        low += 1
    high = low + 1
    for _ in range(STEPS):
        half = (low + high) / 2
        low, high = (half, high) if refuted(half) else (low, half)
    return low
