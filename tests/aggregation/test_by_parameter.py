"""Trimmed mean and mean around the median: by hand and against plain loops over parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation import matrix as matrix_module
from fedskew.aggregation.meamed import meamed
from fedskew.aggregation.trimmed_mean import trimmed_mean
from helpers import PROPERTY, VIEW, client_updates, delta_matrices
from tolerance import SMALLEST, gamma

pytestmark = pytest.mark.numerical
# In order: -9 0 1 2 50 with the median 1, and -1 0 0 7 8 with the median 0.
FIVE = client_updates([[0.0, 7], [50, 0], [1, -1], [-9, 8], [2, 0]])


@pytest.mark.parametrize(("b", "expected"), [(0, [44 / 5, 14 / 5]), (1, [1, 7 / 3]), (2, [1, 0])])
def test_the_trimmed_mean_leaves_out_b_values_at_each_end(b: int, expected: list[float]) -> None:
    assert trimmed_mean(FIVE, VIEW, b=b).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("f", "expected"), [(0, [44 / 5, 14 / 5]), (1, [-1.5, 1.5]), (2, [1, -1 / 3])])
def test_the_mean_around_the_median_leaves_out_the_f_values_farthest_from_it(
    f: int, expected: list[float]
) -> None:
    assert meamed(FIVE, VIEW, f=f).tolist() == pytest.approx(expected)


def test_of_two_values_equally_near_to_the_median_the_smaller_one_is_kept() -> None:
    # The median of 0 1 2 is 1; of 0 2 2 4 it is 2.
    assert meamed(client_updates([[2.0], [0], [1]]), VIEW, f=1).tolist() == [0.5]
    assert meamed(client_updates([[4.0], [2], [0], [2]]), VIEW, f=1).tolist() == [pytest.approx(4 / 3)]


def test_huge_values_do_not_overflow() -> None:
    rows = client_updates([[3e38], [3e38], [3e38], [-3e38]])
    assert trimmed_mean(rows, VIEW, b=1).tolist() == pytest.approx([3e38])
    assert meamed(rows, VIEW, f=1).tolist() == pytest.approx([3e38])


@PROPERTY
@given(delta_matrices(), st.integers(1, 40), st.data())
def test_both_agree_with_plain_loops(deltas: np.ndarray, entries: int, data: st.DataObject) -> None:
    count = len(deltas)
    f = data.draw(st.integers(0, (count - 1) // 2))
    trimmed, around = [], []
    for column in deltas.T.astype(np.float64):
        ordered = sorted(column.tolist())
        trimmed.append(np.mean(ordered[f : count - f]))
        near = sorted(ordered, key=lambda x, column=column: (abs(x - np.median(column)), x))  # type: ignore[misc]
        around.append(np.mean(near[: count - f]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "ENTRIES", entries)
        found = [
            trimmed_mean(client_updates(deltas), VIEW, b=f),
            meamed(client_updates(deltas), VIEW, f=f),
        ]
    scale = float(np.abs(deltas).max())
    for values, expected in zip(found, (trimmed, around), strict=True):
        assert values.numpy() == pytest.approx(np.array(expected), rel=gamma(2), abs=1e-12 * scale + SMALLEST)


@pytest.mark.parametrize("negative", [0, 1, 2, 3, 4])
def test_zeros_of_either_sign_give_a_positive_zero(negative: int) -> None:
    """Which of them are left out depends on how a processor sorts."""
    rows = torch.tensor([[-0.0]] * negative + [[0.0]] * (4 - negative))
    for found in (trimmed_mean(client_updates(rows), VIEW, b=1), meamed(client_updates(rows), VIEW, f=1)):
        assert not found.signbit().any()
