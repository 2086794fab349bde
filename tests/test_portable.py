"""Sums and roots: their values, and that a sum's order is fixed."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch

from fedskew.portable import deviation, mean, norm, root, row_deviation, row_mean, total, weighted_sum
from tolerance import gamma

NUMBERS = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 10_007)))
DOUBLE = 2.0**-53


@pytest.mark.parametrize("length", [0, 1, 7, 8, 129, 10_007])
def test_a_total_is_a_sum_of_each_row(length: int) -> None:
    terms = NUMBERS[:, :length]
    exact = torch.tensor([math.fsum(row) for row in terms.tolist()], dtype=torch.float64)
    assert ((total(terms) - exact).abs() <= gamma(length, DOUBLE) * terms.abs().sum(1)).all()


def test_a_total_depends_on_the_numbers_alone_not_on_how_they_lie_in_memory() -> None:
    rows = torch.stack([total(row) for row in NUMBERS])
    turned = NUMBERS.T.clone(memory_format=torch.contiguous_format).T
    shifted = torch.cat([torch.zeros(3, 1, dtype=torch.float64), NUMBERS], dim=1)[:, 1:]
    for same in (NUMBERS, turned, shifted, NUMBERS.repeat(2, 1)[3:]):
        assert torch.equal(total(same), rows)


def test_moments_and_norms_are_those_of_the_numbers() -> None:
    numbers = [3.0, -1.0, 4.0, 1.0, -5.0]
    row = torch.tensor(numbers, dtype=torch.float64)
    assert mean(row).item() == pytest.approx(statistics.fmean(numbers), rel=1e-15)
    assert deviation(row).item() == pytest.approx(statistics.pstdev(numbers), rel=1e-15)
    assert norm(row).item() == pytest.approx(math.hypot(*numbers), rel=1e-15)
    assert torch.equal(norm(torch.stack([row, 2 * row])), torch.stack([norm(row), 2 * norm(row)]))
    assert norm(torch.tensor([3e38, 3e38], dtype=torch.float32).double()).isfinite()
    assert mean(row[:0]).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_are_correctly_rounded(dtype: torch.dtype) -> None:
    numbers = NUMBERS[0].abs().to(dtype)
    # A double's root, correctly rounded by IEEE 754 and rounded again, is a float's.
    expected = torch.tensor([math.sqrt(x) for x in numbers.tolist()], dtype=torch.float64).to(dtype)
    assert torch.equal(root(numbers), expected)
    assert root(numbers).dtype == root(numbers[0]).dtype == dtype
    assert root(numbers[0]) == expected[0]


def test_a_weighted_sum_goes_row_by_row_in_float64() -> None:
    matrix = NUMBERS.float()
    weights = torch.tensor([2, 7, 1])
    expected = np.zeros(matrix.shape[1])
    for weight, row in zip(weights.tolist(), matrix.numpy(), strict=True):
        expected = expected + weight * row.astype(np.float64)
    assert np.array_equal(weighted_sum(weights, matrix).numpy(), expected)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        weighted_sum(weights[:2], matrix)


@pytest.mark.parametrize("clients", [1, 2, 3, 7, 100])
def test_the_mean_of_equal_rows_is_the_row(clients: int) -> None:
    row = NUMBERS[0].float()
    assert torch.equal(row_mean(row.repeat(clients, 1)), row)


def test_large_but_finite_rows_have_a_finite_mean() -> None:
    assert row_mean(torch.full((10, 2), 3e38)).isfinite().all()


def test_the_deviation_of_rows_is_the_samples() -> None:
    matrix = NUMBERS.float()
    expected = [statistics.stdev(column) for column in matrix.double().T.tolist()]
    # Rounded once from float64 to the matrix's type.
    assert row_deviation(matrix).double().tolist() == pytest.approx(expected, rel=2.0**-23)
    assert row_deviation(matrix).dtype == torch.float32
    assert not row_deviation(matrix[:1]).any()
    assert not row_deviation(matrix[:1].repeat(5, 1)).any()
