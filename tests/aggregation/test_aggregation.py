"""Aggregators, transforms and server learning rates, on matrices whose answer a person can work out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation import matrix as matrix_module
from fedskew.aggregation.learning_rate import constant, rlr
from fedskew.aggregation.matrix import drop_rows, finite_rows, row_norms
from fedskew.aggregation.mean import fedavg, mean
from fedskew.aggregation.median import median
from fedskew.aggregation.transforms import clip, noise
from fedskew.protocols import ClientUpdates
from helpers import PROPERTY, VIEW, client_updates, delta_matrices
from tolerance import SMALLEST, gamma, within

pytestmark = pytest.mark.numerical
AGGREGATORS = pytest.mark.parametrize("aggregate", [fedavg, mean, median])


def close(found: Tensor, expected: object, tolerance: float = gamma(16)) -> bool:
    wanted = torch.as_tensor(expected, dtype=torch.float32)
    return torch.allclose(found, wanted, rtol=tolerance, atol=tolerance)


# --- means ------------------------------------------------------------------------------------------

TWO = [[1.0, 0.0, -4.0], [5.0, 2.0, 4.0]]


def test_fedavg_weights_clients_by_their_examples() -> None:
    # n = (1, 3): (1 + 3 * 5) / 4 = 4, (0 + 3 * 2) / 4 = 1.5, (-4 + 3 * 4) / 4 = 2
    assert close(fedavg(client_updates(TWO, (1, 3)), VIEW), [4.0, 1.5, 2.0])


def test_mean_ignores_the_examples() -> None:
    assert close(mean(client_updates(TWO, (1, 3)), VIEW), [3.0, 1.0, 0.0])


@PROPERTY
@given(delta_matrices(), st.integers(1, 10_000))
def test_fedavg_of_clients_with_equally_many_examples_is_the_mean(deltas: np.ndarray, examples: int) -> None:
    updates = client_updates(deltas, [examples] * len(deltas))
    terms = torch.from_numpy(deltas).double() / len(deltas)
    assert within(fedavg(updates, VIEW), list(terms), extra=3)
    assert within(mean(updates, VIEW), list(terms), extra=3)


@PROPERTY
@given(delta_matrices(), st.data())
def test_fedavg_agrees_with_a_plain_sum_in_double_precision(deltas: np.ndarray, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 60_000), min_size=len(deltas), max_size=len(deltas)))
    terms = [n / sum(sizes) * torch.from_numpy(row).double() for n, row in zip(sizes, deltas, strict=True)]
    assert within(fedavg(client_updates(deltas, sizes), VIEW), terms, extra=3)


# --- median -----------------------------------------------------------------------------------------


def test_the_median_of_an_odd_number_of_clients_is_the_middle_one() -> None:
    # sorted columns: -1 2 7; -5 0 0; 3 3 100
    assert close(median(client_updates([[7.0, 0, 3], [2, -5, 100], [-1, 0, 3]]), VIEW), [2.0, 0.0, 3.0])


def test_the_median_of_an_even_number_of_clients_is_the_mean_of_the_middle_two() -> None:
    # sorted columns: 1 2 4 50 -> 3; -9 -1 0 0 -> -0.5
    assert close(median(client_updates([[4.0, 0], [1, -9], [50, 0], [2, -1]]), VIEW), [3.0, -0.5])


@pytest.mark.parametrize("clients", [1, 2, 5])
def test_the_median_of_identical_updates_is_that_update(clients: int) -> None:
    row = torch.tensor([0.1, -3.7, 1e-20, 2.5e7])
    assert torch.equal(median(client_updates(row.repeat(clients, 1)), VIEW), row)


@PROPERTY
@given(delta_matrices(), st.integers(1, 40))
def test_the_median_taken_in_chunks_agrees_with_numpy_and_with_a_plain_loop(
    deltas: np.ndarray, entries: int
) -> None:
    clients, parameters = deltas.shape
    loop = []
    for p in range(parameters):
        column = sorted(float(deltas[k, p]) for k in range(clients))
        middle = clients // 2
        loop.append(column[middle] if clients % 2 else (column[middle - 1] + column[middle]) / 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "ENTRIES", entries)
        found = median(client_updates(deltas), VIEW)
    assert found.numpy() == pytest.approx(np.array(loop), rel=gamma(2))
    assert found.numpy() == pytest.approx(np.median(deltas, axis=0), rel=gamma(4))


def test_more_parameters_than_one_chunk_holds() -> None:
    parameters = 2 * (matrix_module.ENTRIES // 3) + 3
    deltas = torch.stack(
        [torch.arange(parameters) % 7, torch.full((parameters,), 3), torch.zeros(parameters)]
    )
    updates = client_updates(deltas)
    assert torch.equal(median(updates, VIEW), (torch.arange(parameters) % 7).clamp(0, 3).float())
    assert torch.equal(updates.deltas, deltas.float())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (7, 2)])
def test_the_median_sorts_a_copy_also_where_a_column_is_a_view(shape: tuple[int, int]) -> None:
    deltas = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    before = deltas.clone()
    median(client_updates(deltas), VIEW)
    assert torch.equal(deltas, before)


# --- passes over the rows ---------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 3, 40])
def test_a_row_with_one_broken_entry_is_not_finite(broken: float, place: int) -> None:
    matrix = torch.full((3, 41), 3e38)  # their sum would be infinite; they are not
    matrix[1, place] = broken
    assert finite_rows(matrix).tolist() == [True, False, True]


def test_rows_without_entries_and_no_rows_at_all_are_finite() -> None:
    assert finite_rows(torch.zeros(3, 0)).tolist() == [True] * 3
    assert finite_rows(torch.zeros(0, 3)).tolist() == []


@PROPERTY
@given(delta_matrices(), st.data())
def test_rows_are_dropped_in_place_and_in_order(deltas: np.ndarray, data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(deltas), max_size=len(deltas)))
    matrix, mask = torch.from_numpy(deltas.copy()), torch.tensor(kept)
    found = drop_rows(matrix, mask)
    assert torch.equal(found, torch.from_numpy(deltas)[mask])
    assert found.data_ptr() == matrix.data_ptr() or not len(found)


def test_the_length_of_a_row_of_huge_entries_is_finite() -> None:
    assert row_norms(torch.tensor([[3e38, 0.0], [3.0, -4.0], [0.0, 0.0]])).tolist() == pytest.approx(
        [3e38, 5, 0]
    )


def test_the_median_of_zeros_of_both_signs_is_positive() -> None:
    """Sorting takes them for equal, so that which one is in the middle depends on how a processor sorts."""
    zeros = torch.tensor([[0.0, -0.0, -0.0, 0.0], [-0.0, 0.0, -0.0, -0.0], [-0.0, -0.0, 0.0, -0.0]])
    for rows in (zeros, zeros[:2], -zeros[:2]):
        assert not median(client_updates(rows), VIEW).signbit().any()


def test_one_client_cannot_move_the_median_beyond_the_others() -> None:
    found = median(client_updates([[1.0, -1], [2, -2], [1e30, -1e30]]), VIEW)
    assert close(found, [2.0, -2.0])


# --- any aggregator ---------------------------------------------------------------------------------


@AGGREGATORS
@PROPERTY
@given(delta_matrices(), st.randoms(use_true_random=False))
def test_the_order_of_the_clients_does_not_matter(
    aggregate: Callable[..., Tensor], deltas: np.ndarray, random: object
) -> None:
    sizes = [1 + k * k for k in range(len(deltas))]
    order = list(range(len(deltas)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = aggregate(client_updates(deltas, sizes), VIEW)
    shuffled = aggregate(client_updates(deltas[order], [sizes[k] for k in order]), VIEW)
    roundings = 2 * gamma(len(deltas) + 3) * np.abs(deltas).astype(np.float64).max(0)
    assert (np.abs(straight.double().numpy() - shuffled.double().numpy()) <= roundings).all()


@AGGREGATORS
@PROPERTY
@given(delta_matrices())
def test_the_result_lies_between_the_smallest_and_the_largest_delta(
    aggregate: Callable[..., Tensor], deltas: np.ndarray
) -> None:
    slack = 1e-6 * (float(np.abs(deltas).max()) + 1)
    found = aggregate(client_updates(deltas, range(1, len(deltas) + 1)), VIEW).numpy()
    assert found.shape == deltas.shape[1:]
    assert found.dtype == np.float32
    assert (found >= deltas.min(axis=0) - slack).all()
    assert (found <= deltas.max(axis=0) + slack).all()


@AGGREGATORS
@PROPERTY
@given(delta_matrices())
def test_negated_updates_give_the_negated_result(
    aggregate: Callable[..., Tensor], deltas: np.ndarray
) -> None:
    sizes = range(1, len(deltas) + 1)
    plus, minus = (aggregate(client_updates(sign * deltas, sizes), VIEW) for sign in (1, -1))
    assert torch.equal(plus, -minus)


@AGGREGATORS
def test_the_only_client_is_followed(aggregate: Callable[..., Tensor]) -> None:
    assert close(aggregate(client_updates([[1.0, -2.0]], (17,)), VIEW), [1.0, -2.0])


@AGGREGATORS
def test_aggregation_leaves_the_updates_as_they_were(aggregate: Callable[..., Tensor]) -> None:
    updates = client_updates(TWO, (1, 3))
    aggregate(updates, VIEW)
    assert updates.deltas.tolist() == TWO


# --- the robust learning rate -----------------------------------------------------------------------

FOUR = client_updates(
    [
        [1.0, 0.5, -0.1],
        [2.0, -0.5, -9.0],
        [-3.0, 0.5, 0.0],
        [0.1, -7.0, -1.0],
    ]
)
# signs: + + - +, sum 2;  + - + -, sum 0;  - - 0 -, sum -3


@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        (0, [0.5, 0.5, 0.5]),
        (1, [0.5, -0.5, 0.5]),
        (2, [0.5, -0.5, 0.5]),  # |2| = theta agrees
        (2.5, [-0.5, -0.5, 0.5]),
        (3, [-0.5, -0.5, 0.5]),  # |-3| = theta agrees: the direction does not matter, the agreement does
        (4, [-0.5, -0.5, -0.5]),
    ],
)
def test_rlr_turns_the_step_around_where_fewer_than_theta_signs_agree(
    theta: float, expected: list[float]
) -> None:
    assert rlr(FOUR, 0.5, theta=theta).tolist() == expected


def test_rlr_counts_a_zero_for_neither_side() -> None:
    # signs: + 0 0 0, sum 1;  + + 0 0, sum 2;  all 0
    updates = client_updates([[1.0, 1, 0], [0, 1, 0], [0, 0, 0], [0, -0.0, 0]])
    assert rlr(updates, 1.0, theta=2).tolist() == [-1, 1, -1]


@PROPERTY
@given(delta_matrices(), st.sampled_from([0.01, 0.5, 1.0, 3.0]))
def test_rlr_with_theta_0_is_the_constant_rate(deltas: np.ndarray, lr: float) -> None:
    updates = client_updates(deltas)
    assert torch.equal(rlr(updates, lr, theta=0), torch.full_like(updates.deltas[0], constant(updates, lr)))


def test_the_constant_rate_is_the_configured_one() -> None:
    assert constant(FOUR, 0.25) == 0.25


@PROPERTY
@given(delta_matrices(), st.integers(0, 8))
def test_rlr_agrees_with_a_plain_loop(deltas: np.ndarray, theta: int) -> None:
    expected = []
    for column in deltas.T.tolist():
        balance = sum(x > 0 for x in column) - sum(x < 0 for x in column)
        expected.append(2.0 if abs(balance) >= theta else -2.0)
    assert rlr(client_updates(deltas), 2.0, theta=theta).tolist() == expected


@PROPERTY
@given(delta_matrices(), st.integers(0, 8), st.randoms(use_true_random=False))
def test_rlr_ignores_the_order_of_clients_their_lengths_and_the_overall_sign(
    deltas: np.ndarray, theta: int, random: object
) -> None:
    order = list(range(len(deltas)))
    random.shuffle(order)  # type: ignore[attr-defined]
    expected = rlr(client_updates(deltas), 1.0, theta=theta)
    for other in (-deltas, deltas[order], deltas * np.float32(4)):
        assert torch.equal(rlr(client_updates(other), 1.0, theta=theta), expected)


# --- clip -------------------------------------------------------------------------------------------


def clipped(updates: ClientUpdates, norm: float) -> Tensor:
    return clip(updates, VIEW, np.random.default_rng(0), norm=norm).deltas


@pytest.mark.parametrize(
    ("norm", "expected"),
    [(1.0, [0.6, 0.8]), (2.5, [1.5, 2.0]), (5.0, [3.0, 4.0]), (10.0, [3.0, 4.0])],
)
def test_clip_scales_a_3_4_5_vector_down_to_the_norm_and_never_up(norm: float, expected: list[float]) -> None:
    assert close(clipped(client_updates([[3.0, 4.0]]), norm), [expected])


def test_clip_looks_at_each_client_by_itself() -> None:
    # lengths 5, 13, 0 against 6.5: only the second is too long, by a factor of 2
    found = clipped(client_updates([[3.0, 4], [5, -12], [0, 0]]), 6.5)
    assert close(found, [[3.0, 4], [2.5, -6], [0, 0]])


@PROPERTY
@given(delta_matrices(), st.floats(1e-3, 1e4))
def test_clip_bounds_every_length_keeps_every_direction_and_leaves_short_updates_alone(
    deltas: np.ndarray, norm: float
) -> None:
    found = clipped(client_updates(deltas), norm).numpy().astype(np.float64)
    lengths = np.linalg.norm(deltas.astype(np.float64), axis=1)
    rounding = gamma(deltas.shape[1] + 4)
    assert (np.linalg.norm(found, axis=1) <= norm * (1 + rounding)).all()
    for before, after, length in zip(deltas, found, lengths, strict=True):
        if length < norm * (1 - rounding):
            assert np.array_equal(before, after)
        expected = before.astype(np.float64) / max(1.0, length / norm)
        assert after == pytest.approx(expected, rel=rounding, abs=SMALLEST)


@PROPERTY
@given(delta_matrices())
def test_clip_at_a_huge_norm_is_the_identity(deltas: np.ndarray) -> None:
    updates = client_updates(deltas)
    assert torch.equal(clipped(updates, 1e12), updates.deltas)


def test_clip_keeps_who_sent_what() -> None:
    updates = client_updates([[3.0, 4.0], [6.0, 8.0]], (2, 9))
    found = clip(updates, VIEW, np.random.default_rng(0), norm=1.0)
    assert found.num_examples is updates.num_examples
    assert found.client_ids is updates.client_ids
    assert updates.deltas.tolist() == [[3.0, 4.0], [6.0, 8.0]]


# --- noise ------------------------------------------------------------------------------------------


def noisy(updates: ClientUpdates, std: float, seed: int = 0) -> Tensor:
    return noise(updates, VIEW, np.random.default_rng(seed), std=std).deltas


def test_noise_of_standard_deviation_0_is_the_identity() -> None:
    assert torch.equal(noisy(FOUR, 0.0), FOUR.deltas)


def test_noise_is_a_pure_function_of_the_rng_and_works_on_a_copy() -> None:
    before = FOUR.deltas.clone()
    torch.manual_seed(1)
    one = noisy(FOUR, 1.0)
    torch.manual_seed(2)
    assert torch.equal(one, noisy(FOUR, 1.0))
    assert not torch.equal(one, noisy(FOUR, 1.0, seed=1))
    assert torch.equal(FOUR.deltas, before)


def test_noise_is_gaussian_with_the_given_deviation_and_independent_between_entries() -> None:
    drawn = noisy(client_updates(torch.full((4, 10_000), 5.0)), 0.5) - 5.0
    # 40,000 draws of deviation 0.5: the mean is known to 0.0025, the deviation to 0.0018.
    assert float(drawn.mean()) == pytest.approx(0, abs=0.0125)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.009)
    assert float((drawn.abs() < 0.5).float().mean()) == pytest.approx(0.6827, abs=0.012)
    between = np.corrcoef(drawn.numpy())
    assert max(abs(between[i, j]) for i, j in product(range(4), repeat=2) if i < j) < 0.05
