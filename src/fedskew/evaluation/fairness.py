"""How evenly accuracies are spread over those who have them: classes or clients."""

from __future__ import annotations

from torch import Tensor

from fedskew.portable import mean, total


def worst_tenth(accuracy: Tensor) -> float:
    """The mean of the lowest tenth of the accuracies, rounded down but at least one: float64 [n], n > 0.

    The lowest of many is an extreme, which falls as their number grows; the mean of a tenth of them does not.
    """
    lowest = accuracy.sort().values[: max(1, len(accuracy) // 10)]
    return float(mean(lowest))


def jain(accuracy: Tensor) -> float:
    """Jain's index, (sum_i x_i)^2 / (n sum_i x_i^2): float64 [n], n > 0, from 0 to 1.

    It lies between 1/n, where one has all, and 1, where all have the same; k/n where k have the same and the others
    nothing. It is 1 / (1 + v^2) for the coefficient of variation v, so it does not change if all are multiplied by the
    same factor. Where all are 0, all have the same, and it is 1.

    Reference: R. Jain, D.-M. Chiu, W. R. Hawe, "A Quantitative Measure of Fairness and Discrimination for Resource
    Allocation in Shared Computer Systems", DEC Research Report TR-301, 1984.

    >>> import torch
    >>> jain(torch.tensor([1.0, 0.5], dtype=torch.float64))  # 1.5^2 / (2 (1 + 0.25))
    0.9
    """
    squares = total(accuracy.square())
    return min(1.0, float(total(accuracy).square() / (len(accuracy) * squares))) if squares else 1.0
