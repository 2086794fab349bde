"""Where the ticks of an axis stand and what is written beside them: the same in any locale and with any settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def nice_ticks(low: float, high: float, most: int = 7, whole: bool = False) -> list[float]:
    """Round numbers from ``low`` to ``high``, evenly spaced.

    Args:
        most: how many there are, at most; at least two wherever the range has two that are round.
        whole: whether they are whole numbers.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        return [low] if math.isfinite(low) else []
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (step * scale for scale in (power, 10 * power) for step in STEPS):
        if whole and step != int(step):
            continue
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [step * number for number in range(first, last + 1)]
    raise AssertionError("a step of a hundredth of the range has too many ticks")


def tick_words(values: Sequence[float]) -> list[str]:
    """The values with as many decimals as tell them apart; powers of ten where they are very large or small."""
    largest = max(map(abs, values), default=0.0)
    if largest and not 1e-4 <= largest < 1e6:
        return [_minus(f"{value:g}") for value in values]
    for digits in range(7):
        words = [f"{value:.{digits}f}" for value in values]
        close = all(abs(float(w) - v) <= 1e-6 * largest for w, v in zip(words, values, strict=True))
        if close:
            break
    return [_minus(word) for word in words]


def _minus(word: str) -> str:
    """With a real minus, and none before zero."""
    return word.replace("-", "\N{MINUS SIGN}") if float(word) else word.lstrip("-")
