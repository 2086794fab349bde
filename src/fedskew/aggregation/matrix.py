"""Passes over the matrix of updates [S, P] without a copy of it: one row at a time, or in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fedskew.portable import root, total


def finite_rows(matrix: Tensor) -> Tensor:
    """Which rows of [S, P] hold finite numbers only, bool [S], on the CPU."""
    if not matrix.numel():
        return torch.ones(len(matrix), dtype=torch.bool)
    # Without a mask of the matrix's size: a row's extremes are not finite if any of its entries is not.
    extremes = torch.stack([matrix.amin(dim=1), matrix.amax(dim=1)])
    return extremes.isfinite().all(dim=0).cpu()


def drop_rows(matrix: Tensor, kept: Tensor) -> Tensor:
    """The rows of [S, P] for which ``kept``, bool [S], is true, moved to the front of the same memory."""
    rows = kept.nonzero().flatten().tolist()
    for to, row in enumerate(rows):
        if to != row:
            matrix[to].copy_(matrix[row])
    return matrix[: len(rows)]


def exact_rows(matrix: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each row of [S, P] in float64 and its L2 norm, without dimensions: squares of large but finite entries overflow
    float32. The row may be changed; its memory is used again for the next."""
    exact, squares = torch.empty(2, *matrix.shape[1:], dtype=torch.float64, device=matrix.device)
    for row in matrix:
        exact.copy_(row)
        yield exact, root(total(torch.mul(exact, exact, out=squares)))


def row_norms(matrix: Tensor) -> Tensor:
    """The L2 norm of each row of [S, P], float64 [S]."""
    norms = [length for _, length in exact_rows(matrix)]
    return torch.stack(norms) if norms else torch.zeros(0, dtype=torch.float64, device=matrix.device)


def distances_to(point: Tensor, matrix: Tensor) -> Tensor:
    """||row_i - point|| of each row of [S, P], float64 [S].

    Args:
        point: float64 [P].
    """
    difference = torch.empty_like(point)
    squares = [total(torch.sub(point, row, out=difference).square_()) for row in matrix]
    return root(torch.stack(squares))


ENTRIES = 1 << 18
"""Entries of the matrix looked at together where rows are compared: bounds the extra memory."""


def blocks(matrix: Tensor) -> Iterator[slice]:
    """The columns of [S, P], some at a time."""
    rows, columns = matrix.shape
    step = max(1, ENTRIES // max(1, rows))
    return (slice(start, start + step) for start in range(0, columns, step))


def squared_distances(matrix: Tensor) -> Tensor:
    """||row_i - row_j||^2 of every pair of rows of [S, P], float64 [S, S].

    From differences, not from products of rows, so that equal rows are exactly 0 apart.
    """
    return _of_pairs(matrix, None, lambda rows, row: (rows - row).square_())


def absolute_distances(matrix: Tensor) -> Tensor:
    """||row_i - row_j||_1 of every pair of rows of [S, P], float64 [S, S]."""
    return _of_pairs(matrix, None, lambda rows, row: (rows - row).abs_())


def products(matrix: Tensor, origin: Tensor | None = None) -> Tensor:
    """<row_i, row_j> of every pair of rows of [S, P], float64 [S, S]; of ``origin`` + row, where that is given, [P]."""
    return _of_pairs(matrix, origin, torch.mul)


def cosines(products: Tensor) -> Tensor:
    """The cosine similarities, from the products [S, S] of rows; 0 where a row is 0."""
    lengths = root(products.diagonal())
    scale = lengths[:, None] * lengths
    return torch.where(scale > 0, products / scale, 0.0)


def _of_pairs(matrix: Tensor, origin: Tensor | None, term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The sum over the columns of ``term(row_i, row_j)``, which is symmetric, float64 [S, S].

    Some columns at a time, so that there is no tensor [S, S, P].
    """
    rows = len(matrix)
    sums = torch.zeros(rows, rows, dtype=torch.float64, device=matrix.device)
    for columns in blocks(matrix):
        block = matrix[:, columns].double()
        if origin is not None:
            block += origin[columns]
        for i in range(rows):
            sums[i, i:] += total(term(block[i:], block[i]))
    return sums + sums.triu(diagonal=1).T
