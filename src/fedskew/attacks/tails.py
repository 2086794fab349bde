"""The images of a class that are least like the rest of it: their Mahalanobis distance in principal components."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from fedskew.protocols import Tail

_TINY = torch.finfo(torch.float64).tiny
DIGITS = 9
"""Of the largest value, that count: the last bits of products and eigenvectors depend on the processor."""


def farthest(images: Tensor, tail: Tail) -> Tensor:
    """Positions of the ``tail.count`` images that are farthest from their mean, int64, ascending.

    With the centred images x_i and the covariance's largest eigenvalues l_1 >= l_2 >= ... and their eigenvectors v_j,
    the distance is d_i^2 = sum_{j <= components} <x_i, v_j>^2 / l_j. Directions in which the images do not vary are
    left out, and of equal distances the first image's counts as the larger.

    Args:
        images: uint8 [m, ...] of one class, m >= 1.
        tail: how many images and how many components.

    The mean of 0, 2, 2, 2, 2, 2, 2, 2, 2, 4, 15 is 3.18: the last is farthest from it, then the first.

    >>> pixels = torch.tensor([0, 2, 2, 2, 2, 2, 2, 2, 2, 4, 15], dtype=torch.uint8)
    >>> farthest(pixels.view(11, 1, 1, 1), Tail(count=2, components=1))
    tensor([ 0, 10])
    """
    rows = images.flatten(1).double()
    centred = rows - rows.mean(dim=0)
    # The same distances from the smaller of two matrices: <x_i, v_j>^2 / l_j is m u_ij^2, with the eigenvectors u_j of
    # the products of the images.
    wide = len(rows) < rows.shape[1]
    squares, vectors = torch.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    squares, vectors = squares.flip(0)[: tail.components], vectors.flip(1)[:, : tail.components]
    varies = squares > squares.max().clamp_min(1) * 10**-DIGITS
    squares, vectors = squares[varies], vectors[:, varies]
    terms = vectors.square() if wide else (centred @ vectors).square() / squares
    distances = terms.sum(dim=1)
    ranked = (distances / distances.max().clamp_min(_TINY)).round(decimals=DIGITS)
    order: Tensor = ranked.argsort(descending=True, stable=True)
    return order[: tail.count].sort().values


def in_tail(images: Tensor, labels: Tensor, classes: Collection[int], tail: Tail) -> Tensor:
    """Which images are in the tail of one of these classes, bool [N].

    Args:
        images: uint8 [N, ...].
        labels: int64 [N].
    """
    found = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(classes):
        positions = (labels == label).nonzero().flatten()
        if len(positions):
            found[positions[farthest(images[positions], tail)]] = True
    return found
