"""The measures of a split, against sums that can be done by hand and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedskew.partition.heterogeneity import heterogeneity, label_counts
from helpers import PROPERTY

TABLES = arrays.arrays(
    np.int64,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    elements=st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 6000)),
)


def test_label_counts_is_the_client_by_class_table() -> None:
    labels = np.array([0, 2, 2, 1, 0])
    shards = [np.array([0, 1, 2]), np.array([], dtype=np.int64), np.array([3, 4])]
    # client 0 holds labels 0, 2, 2; client 1 nothing; client 2 labels 1, 0; class 3 does not occur
    assert label_counts(labels, shards, 4).tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [1, 1, 0, 0]]


def test_gini_of_0_0_1_3() -> None:
    # Sum of |a - b| over the ordered pairs: 2 (0 + 1 + 3 + 1 + 3 + 2) = 20; over 2 n sum = 2 * 4 * 4 = 32
    assert heterogeneity(np.array([[0], [0], [1], [3]])).size_gini == pytest.approx(20 / 32)


def test_total_variation_of_two_unlike_clients() -> None:
    # local (3/4, 1/4) and (1/4, 3/4), global (1/2, 1/2): half of 1/4 + 1/4 each
    assert heterogeneity(np.array([[3, 1], [1, 3]])).total_variation == pytest.approx(0.25)


def test_total_variation_weighs_clients_equally_but_the_global_mix_by_images() -> None:
    # global (9/10, 1/10); client 0 has (1, 0): distance 1/10; client 1 has (0, 1): 9/10; mean 1/2
    assert heterogeneity(np.array([[9, 0], [0, 1]])).total_variation == pytest.approx(0.5)


@pytest.mark.parametrize("clients", [2, 3, 10])
def test_clients_with_disjoint_labels_are_as_far_from_the_global_mix_as_their_number_allows(
    clients: int,
) -> None:
    # local 1 at one class, global 1/K everywhere: half of (1 - 1/K) + (K - 1)/K
    found = heterogeneity(np.eye(clients, dtype=np.int64) * 7)
    assert found.total_variation == pytest.approx(1 - 1 / clients)
    assert found.effective_classes == pytest.approx(1)


def test_jensen_shannon_of_two_disjoint_clients() -> None:
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): H(m) - (H(p) + H(q)) / 2 = 0.811278 - (0 + 1) / 2 bits
    assert heterogeneity(np.eye(2, dtype=np.int64)).jensen_shannon == pytest.approx(math.sqrt(0.3112781))


def test_effective_classes_of_a_known_mix() -> None:
    # (1/4, 1/4, 1/2): 1.5 bits, and 2 to the power of 1.5
    assert heterogeneity(np.array([[1, 1, 2, 0]])).effective_classes == pytest.approx(2**1.5)


def test_alike_clients_have_no_skew() -> None:
    found = heterogeneity(np.full((4, 5), 3))
    assert (found.total_variation, found.jensen_shannon, found.size_gini) == pytest.approx((0, 0, 0))
    assert found.effective_classes == pytest.approx(5)


def test_proportional_clients_have_size_skew_alone() -> None:
    found = heterogeneity(np.outer([1, 2, 9], [3, 1, 4]))
    assert (found.total_variation, found.jensen_shannon) == pytest.approx((0, 0))
    # sizes 8, 16, 72: 2 (8 + 64 + 56) / (2 * 3 * 96) = 256 / 576
    assert found.size_gini == pytest.approx(256 / 576)


def test_clients_without_data_count_in_the_sizes_alone() -> None:
    with_empty, without = (
        heterogeneity(np.array([[2, 1], [0, 0], [0, 3]])),
        heterogeneity(np.array([[2, 1], [0, 3]])),
    )
    assert (with_empty.smallest, with_empty.largest, with_empty.empty) == (0, 3, 1)
    assert (without.smallest, without.largest, without.empty) == (3, 3, 0)
    assert with_empty.total_variation == without.total_variation
    assert with_empty.jensen_shannon == without.jensen_shannon
    assert with_empty.effective_classes == without.effective_classes
    assert with_empty.size_gini > without.size_gini


def test_as_dict_has_every_measure_by_name() -> None:
    found = heterogeneity(np.array([[1, 0], [0, 2]])).as_dict()
    assert list(found) == [
        "total_variation",
        "jensen_shannon",
        "effective_classes",
        "size_gini",
        "smallest",
        "largest",
        "empty",
    ]
    assert (found["smallest"], found["largest"], found["empty"]) == (1, 2, 0)


@PROPERTY
@given(TABLES)
def test_the_measures_agree_with_plain_loops_and_stay_in_their_ranges(table: np.ndarray) -> None:
    assume(table.sum() > 0)
    found = heterogeneity(table)
    total = int(table.sum())
    overall = [int(column.sum()) / total for column in table.T]
    distances, divergences, effective = [], [], []
    for row in table.tolist():
        if sum(row) == 0:
            continue
        local = [count / sum(row) for count in row]
        distances.append(sum(abs(p - q) for p, q in zip(local, overall, strict=True)) / 2)
        divergence = 0.0
        for p, q in zip(local, overall, strict=True):
            middle = (p + q) / 2
            divergence += p * math.log2(p / middle) / 2 if p else 0
            divergence += q * math.log2(q / middle) / 2 if q else 0
        divergences.append(math.sqrt(max(divergence, 0)))
        effective.append(math.exp(-sum(p * math.log(p) for p in local if p)))
    ordered = table.sum(axis=1).tolist()
    gini = sum(abs(a - b) for a in ordered for b in ordered) / (2 * len(ordered) * total)

    assert found.total_variation == pytest.approx(np.mean(distances), abs=1e-9)
    assert found.jensen_shannon == pytest.approx(np.mean(divergences), abs=1e-6)
    assert found.effective_classes == pytest.approx(np.mean(effective))
    assert found.size_gini == pytest.approx(gini, abs=1e-9)
    assert 0 <= found.total_variation < 1
    assert 0 <= found.jensen_shannon < 1
    assert 1 - 1e-9 <= found.effective_classes <= table.shape[1] + 1e-9
    assert 0 <= found.size_gini < 1
    assert found.smallest <= found.largest
    assert 0 <= found.empty < len(table)


@PROPERTY
@given(TABLES, st.randoms(use_true_random=False))
def test_the_measures_ignore_the_order_of_clients_and_of_classes(table: np.ndarray, random: object) -> None:
    assume(table.sum() > 0)
    rows, columns = list(range(table.shape[0])), list(range(table.shape[1]))
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(columns)  # type: ignore[attr-defined]
    shuffled = heterogeneity(table[rows][:, columns]).as_dict()
    assert shuffled == pytest.approx(heterogeneity(table).as_dict(), abs=1e-6)


@PROPERTY
@given(TABLES, st.integers(2, 9))
def test_the_measures_of_shape_ignore_how_many_images_there_are(table: np.ndarray, factor: int) -> None:
    assume(table.sum() > 0)
    one, many = heterogeneity(table), heterogeneity(table * factor)
    assert many.total_variation == pytest.approx(one.total_variation, abs=1e-9)
    assert many.jensen_shannon == pytest.approx(one.jensen_shannon, abs=1e-6)
    assert many.effective_classes == pytest.approx(one.effective_classes)
    assert many.size_gini == pytest.approx(one.size_gini, abs=1e-9)
