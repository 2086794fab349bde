"""Sums and roots with the same bits on every processor.

PyTorch and the library of its matrix products choose code by processor: sums are split over vectors of its width,
products are fused with sums or not, roots are rounded one way or the other. Operations on single elements (+ - * /) are
correctly rounded, hence the same everywhere, and so is a sum whose order is fixed. What a round computes outside of the
engines is made of these and of what follows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def total(terms: Tensor) -> Tensor:
    """The sum over the last axis: float64 [..., n] -> [...]."""
    if terms.device.type != "cpu":
        return terms.sum(dim=-1)
    # NumPy adds pairwise over a contiguous axis, in plain C, whose order no vector width changes.
    return torch.as_tensor(terms.contiguous().numpy().sum(axis=-1))


def mean(values: Tensor) -> Tensor:
    """The mean over the last axis: float64 [..., n] -> [...]; NaN for n = 0."""
    return total(values) / values.shape[-1]


def deviation(values: Tensor) -> Tensor:
    """The population standard deviation over the last axis: float64 [..., n] -> [...]."""
    return root(mean((values - mean(values)[..., None]).square()))


def norm(vectors: Tensor) -> Tensor:
    """The L2 norm over the last axis: float64 [..., n] -> [...]. In float64, no square of a float32 overflows."""
    return root(total(vectors.square()))


def root(values: Tensor) -> Tensor:
    """Square roots, correctly rounded. (On the CPU PyTorch's are not: they are of the library of its products.)"""
    return torch.as_tensor(np.sqrt(values.numpy())) if values.device.type == "cpu" else values.sqrt()


def weighted_sum(weights: Tensor, matrix: Tensor) -> Tensor:
    """sum_k weights_k row_k of a matrix [S, P], row by row, float64 [P]."""
    result = torch.zeros(matrix.shape[1], dtype=torch.float64, device=matrix.device)
    term = torch.empty_like(result)
    for weight, row in zip(weights.tolist(), matrix, strict=True):
        result += term.copy_(row).mul_(weight)
    return result


def row_mean(matrix: Tensor) -> Tensor:
    """The mean of the rows of a matrix [S, P], [P] in its type."""
    return (weighted_sum(torch.ones(len(matrix)), matrix) / len(matrix)).to(matrix.dtype)


def row_deviation(matrix: Tensor) -> Tensor:
    """The sample standard deviation of the rows of a matrix [S, P] (over S - 1), [P] in its type; 0 for one row."""
    centre = weighted_sum(torch.ones(len(matrix)), matrix) / len(matrix)
    squares = torch.zeros_like(centre)
    for row in matrix:
        squares += (row - centre).square_()
    return root(squares / max(1, len(matrix) - 1)).to(matrix.dtype)
