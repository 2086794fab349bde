"""The largest value of a function along a half-line, by a fixed number of looks."""

from __future__ import annotations

from collections.abc import Callable


def argmax_on_line(
    value: Callable[[float], float], *, evaluations: int, step: float, ratio: float = 0.8
) -> float:
    """The best x >= 0 that was found; the function need not be smooth, nor have one maximum.

    From 0, steps to the right double for as long as the value grows. Then points around the best one are tried, at
    distances that shrink by ``ratio`` each time.

    Args:
        evaluations: how often ``value`` is called, >= 1; the first call is at 0.
        step: the first step, > 0.
    """
    best, highest = 0.0, value(0.0)
    left = evaluations - 1
    point, growing = best, True
    while left and growing:
        point, left = best + step, left - 1
        found = value(point)
        growing = found > highest
        if growing:
            best, highest, step = point, found, 2 * step
        else:
            step *= ratio
    while left:
        # On the other side of the best point than the last look, and never below 0.
        point = best + step if point < best else max(best - step, best / 2)
        found, left = value(point), left - 1
        if found > highest:
            best, highest = point, found
        step *= ratio
    return best
