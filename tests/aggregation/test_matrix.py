"""Sums over pairs of rows: against NumPy, a block of columns at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given

from fedskew.aggregation import matrix
from fedskew.aggregation.clipped import clipped_mean, shares
from fedskew.aggregation.columns import middle
from fedskew.aggregation.matrix import absolute_distances, cosines, products, row_norms, squared_distances
from fedskew.aggregation.mean import mean
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


@pytest.mark.parametrize("entries", [1, 7, 1 << 18])
@PROPERTY
@given(rows=delta_matrices())
def test_pairs_of_rows(entries: int, rows: np.ndarray) -> None:
    exact = rows.astype(np.float64)
    gaps = exact[:, None] - exact
    origin = np.arange(rows.shape[1], dtype=np.float32)
    moved = exact + origin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "ENTRIES", entries)
        found = torch.from_numpy(rows)
        assert squared_distances(found).numpy() == pytest.approx((gaps**2).sum(axis=2), rel=1e-12)
        assert absolute_distances(found).numpy() == pytest.approx(np.abs(gaps).sum(axis=2), rel=1e-12)
        assert products(found).numpy() == pytest.approx(exact @ exact.T, rel=1e-9, abs=1e-3)
        assert products(found, torch.from_numpy(origin)).numpy() == pytest.approx(
            moved @ moved.T, rel=1e-9, abs=1e-3
        )


def test_cosines() -> None:
    rows = torch.tensor([[3.0, 4.0], [-6.0, -8.0], [4.0, -3.0], [0.0, 0.0]])
    assert cosines(products(rows)).tolist() == [[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


@PROPERTY
@given(delta_matrices())
def test_the_clipped_mean_without_a_longer_row_is_the_mean_bit_for_bit(rows: np.ndarray) -> None:
    updates = client_updates(rows)
    norms = row_norms(updates.deltas)
    found = clipped_mean(updates.deltas, norms, norms.max())
    assert torch.equal(found.float(), mean(updates, VIEW))


def test_the_clipped_mean_by_hand() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 1.0], [100.0, 0.0]])
    norms, kept = row_norms(rows), torch.tensor([True, True, False])
    assert clipped_mean(rows, norms, 2.5, kept).tolist() == [0.75, 1.5]
    assert clipped_mean(rows, norms, 2.5, ~(kept | True)).tolist() == [0, 0]
    assert clipped_mean(torch.zeros(2, 1), torch.zeros(2), 0.0).tolist() == [0]
    assert shares(kept).tolist() == [0.5, 0.5, 0]
    assert middle(torch.tensor([5.0, 1.0, 2.0]).sort().values) == 2
    assert middle(torch.tensor([5.0, 1.0, 2.0, 4.0]).sort().values) == 3
