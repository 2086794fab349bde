"""How many subsets of a round's updates a rule looks at. Imports no PyTorch, for rows and rules alike."""

from __future__ import annotations

import functools
import math

SUBSETS = 200_000
"""At most so many are looked at in a round: one malicious update of 200,000, two of 632, nine of 20."""


@functools.cache
def largest_round(f: int) -> float:
    """The most updates of which f can be left out in at most ``SUBSETS`` ways; infinite for f = 0."""
    if f < 1:
        return math.inf
    count = f
    while math.comb(count + 1, f) <= SUBSETS:
        count += 1
    return count
