"""How far ALIE's rows may be from the mean. Imports no PyTorch, so that a config can be checked without it."""

from __future__ import annotations

import math

DIGITS = 9
"""Of z. The last bits of a logarithm depend on the processor."""


def largest_z(clients: int, adversaries: int) -> float:
    """z = Phi^-1((n - f - s) / (n - f)) with s = floor(n / 2 + 1) - f, rounded to nine digits.

    s honest clients whose values lie beyond mu - z sigma make a majority with the adversaries; Phi is the normal
    distribution. It grows with f. Beyond f = n / 2 the adversaries need nobody (s < 1), and z is what it is at
    floor(n / 2). Negative infinity where s is all honest clients.

    Args:
        clients, adversaries: n >= 1 and f >= 0 of a round.
    """
    import statistics  # lazy: it imports decimal, fractions and random, which only ALIE needs

    within = min(adversaries, clients // 2)
    supporters = clients // 2 + 1 - within
    honest = clients - within
    if supporters >= honest:
        return -math.inf
    return round(statistics.NormalDist().inv_cdf((honest - supporters) / honest), DIGITS)
