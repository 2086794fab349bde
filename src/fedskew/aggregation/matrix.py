"""Passes over the matrix of updates [S, P] that make no second one: one row at a time, or in place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def finite_rows(matrix: Tensor) -> Tensor:
    """Which rows of [S, P] hold finite numbers only, bool [S], on the CPU."""
    if not matrix.numel():
        return torch.ones(len(matrix), dtype=torch.bool)
    # One pass without a mask of the matrix's size: a row's extremes are not finite if any of its entries is not.
    extremes = [torch.stack(torch.aminmax(row)) for row in matrix]
    return torch.stack(extremes).isfinite().all(dim=1).cpu()


def drop_rows(matrix: Tensor, kept: Tensor) -> Tensor:
    """The rows of [S, P] for which ``kept``, bool [S], is true, moved to the front of the same memory."""
    rows = kept.nonzero().flatten().tolist()
    for to, row in enumerate(rows):
        if to != row:
            matrix[to].copy_(matrix[row])
    return matrix[: len(rows)]


def exact_rows(matrix: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each row of [S, P] in float64 and its L2 norm, without dimensions: squares of large but finite entries overflow
    float32. The row's memory is used again for the next."""
    exact = torch.empty(matrix.shape[1:], dtype=torch.float64, device=matrix.device)
    for row in matrix:
        exact.copy_(row)
        yield exact, torch.linalg.vector_norm(exact)


def row_norms(matrix: Tensor) -> Tensor:
    """The L2 norm of each row of [S, P], float64 [S]."""
    norms = [norm for _, norm in exact_rows(matrix)]
    return torch.stack(norms) if norms else torch.zeros(0, dtype=torch.float64, device=matrix.device)
