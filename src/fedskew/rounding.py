"""A share of a number, as a whole number. Imports nothing, for rows and rules alike."""

from __future__ import annotations


def whole(product: float) -> int:
    """A share of a number, rounded down without the error of binary fractions: 0.29 * 100 is 29."""
    return int(product + 1e-9)
