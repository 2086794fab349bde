"""The largest value of a function along a half-line, by a fixed number of evaluations."""

from __future__ import annotations

from collections.abc import Callable


def argmax_on_line(
    value: Callable[[float], float], *, evaluations: int, step: float, ratio: float = 0.8
) -> float:
    """The best x >= 0 that was found; the function may be discontinuous and have several maxima.

    From 0, steps to the right double for as long as the value grows. Then the search goes back and forth across
    the best point, with steps that shrink by ``ratio`` each time, as in ByzFL.

    Args:
        evaluations: how often ``value`` is called, >= 1; the first call is at 0.
        step: the first step, > 0.
    """
    best, highest = 0.0, value(0.0)
    point, growing = 0.0, True
    for _ in range(evaluations - 1):
        if growing or point < best:
            point += step
        else:
            point = point - step if point > step else point / 2  # never below 0
        found = value(point)
        growing = growing and found > highest
        step *= 2 if growing else ratio
        if found > highest:
            best, highest = point, found
    return best
