"""Every split hands out every image once; the paper's Dirichlet split does so exactly as its authors' code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedskew.errors import PartitionError
from fedskew.partition.dirichlet import dirichlet
from fedskew.partition.heterogeneity import heterogeneity, label_counts
from fedskew.partition.iid import iid
from fedskew.partition.quantity import quantity
from fedskew.partition.rounding import redraw, unbiased_counts
from fedskew.partition.shards import shards
from helpers import PROPERTY

SEEDS = st.integers(0, 2**32)
ALPHAS = st.floats(1e-3, 1e6)


class Scripted:
    """A generator that draws what it is told: shares, an offset, and permutations that permute nothing."""

    def __init__(self, shares: list[list[float]] | None = None, offset: float = 0.0, reverse: bool = False):
        self.shares, self.offset, self.reverse = list(shares or []), offset, reverse

    def permutation(self, what: Any) -> np.ndarray:
        same = np.arange(what) if isinstance(what, int) else np.asarray(what)
        return same[::-1] if self.reverse else same

    def dirichlet(self, alphas: np.ndarray) -> np.ndarray:
        return np.array(self.shares.pop(0))

    def uniform(self) -> float:
        return self.offset


class Recording:
    """A generator that keeps the Dirichlet shares it drew."""

    def __init__(self, seed: int):
        self.rng, self.drawn = np.random.default_rng(seed), list[np.ndarray]()

    def dirichlet(self, alphas: np.ndarray) -> np.ndarray:
        self.drawn.append(self.rng.dirichlet(alphas))
        return self.drawn[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rng, name)


def sizes(parts: list[np.ndarray]) -> list[int]:
    return [len(part) for part in parts]


# --- any split --------------------------------------------------------------------------------------


@st.composite
def any_split(draw: st.DrawFn) -> tuple[Any, np.ndarray, int, dict[str, Any]]:
    """A split function, labels (gaps between the classes allowed), the number of clients, options it can meet."""
    labels = np.array(draw(st.lists(st.sampled_from([0, 1, 2, 5, 9]), max_size=60)), dtype=np.int64)
    clients = draw(st.integers(1, 8))
    split = draw(st.sampled_from([iid, dirichlet, quantity, shards]))
    options: dict[str, Any] = {}
    if split is dirichlet:
        options = {"alpha": draw(ALPHAS), "remainder": draw(st.sampled_from(["first", "unbiased"]))}
    if split is quantity:
        options = {"alpha": draw(ALPHAS)}
    if split is shards:
        classes = len(np.unique(labels))
        assume(classes)
        options = {"classes_per_client": draw(st.integers(-(-classes // clients), classes))}
    return split, labels, clients, options


@PROPERTY
@given(any_split(), SEEDS)
def test_every_split_gives_each_image_to_exactly_one_client_in_sorted_shards(case: Any, seed: int) -> None:
    split, labels, clients, options = case
    parts = split(labels, clients, np.random.default_rng(seed), **options)
    assert len(parts) == clients
    assert all(part.dtype == np.int64 and part.ndim == 1 for part in parts)
    assert all((np.diff(part) > 0).all() for part in parts)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(labels)))


@PROPERTY
@given(any_split(), SEEDS)
def test_every_split_is_a_pure_function_of_labels_and_rng(case: Any, seed: int) -> None:
    split, labels, clients, options = case
    before = labels.copy()
    first = split(labels, clients, np.random.default_rng(seed), **options)
    np.random.default_rng(seed + 1).random()
    again = split(labels, clients, np.random.default_rng(seed), **options)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.array_equal(labels, before)


@pytest.mark.parametrize(
    ("split", "options"),
    [(iid, {}), (dirichlet, {"alpha": 1.0}), (quantity, {"alpha": 1.0}), (shards, {"classes_per_client": 2})],
)
def test_another_seed_gives_another_split(split: Any, options: dict[str, Any]) -> None:
    labels = np.repeat(np.arange(5), 40)
    one, other = (split(labels, 4, np.random.default_rng(seed), **options) for seed in (0, 1))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("split", "options"), [(iid, {}), (dirichlet, {"alpha": 0.1}), (quantity, {"alpha": 0.1})]
)
def test_a_single_client_gets_everything(split: Any, options: dict[str, Any]) -> None:
    labels = np.array([2, 0, 1, 1, 0])
    (only,) = split(labels, 1, np.random.default_rng(0), **options)
    assert only.tolist() == [0, 1, 2, 3, 4]


# --- iid --------------------------------------------------------------------------------------------


def test_iid_sizes_differ_by_at_most_one() -> None:
    # 10 images over 3 clients: 10 = 4 + 3 + 3
    assert sizes(iid(np.zeros(10, dtype=np.int64), 3, np.random.default_rng(0))) == [4, 3, 3]


def test_iid_with_more_clients_than_images_leaves_some_empty() -> None:
    assert sizes(iid(np.zeros(2, dtype=np.int64), 4, np.random.default_rng(0))) == [1, 1, 0, 0]


def test_iid_label_mix_does_not_depend_on_the_client() -> None:
    """Each of 3 clients expects 10 images of each of 3 classes of 30; the mean over 400 draws tells."""
    labels = np.repeat(np.arange(3), 30)
    tables = [label_counts(labels, iid(labels, 3, np.random.default_rng(seed)), 3) for seed in range(400)]
    # One entry is hypergeometric with standard deviation 2.1, its mean over 400 draws has 0.11.
    assert np.mean(tables, axis=0) == pytest.approx(np.full((3, 3), 10.0), abs=0.5)


# --- dirichlet --------------------------------------------------------------------------------------


def test_dirichlet_floors_the_shares_and_gives_the_remainder_to_client_0() -> None:
    labels = np.array([0] * 7 + [1] * 5)
    rng = Scripted(shares=[[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    parts = dirichlet(labels, 3, rng, alpha=1.0, remainder="first")  # type: ignore[arg-type]
    # class 0, 7 images: 3.5, 2.1, 1.4 -> 3, 2, 1 and one is left: 4, 2, 1
    # class 1, 5 images: 0.5, 0.5, 4.0 -> 0, 0, 4 and one is left: 1, 0, 4
    assert label_counts(labels, parts, 2).tolist() == [[4, 1], [2, 0], [1, 4]]
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3, 7], [4, 5], [6, 8, 9, 10, 11]]


@PROPERTY
@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 6), ALPHAS, SEEDS)
def test_dirichlet_agrees_with_the_authors_protocol_written_as_a_plain_loop(
    plain_labels: list[int], clients: int, alpha: float, seed: int
) -> None:
    labels = np.array(plain_labels)
    rng = np.random.default_rng(seed)
    expected: list[list[int]] = [[] for _ in range(clients)]
    for label in sorted(set(plain_labels)):
        members = rng.permutation([i for i, y in enumerate(plain_labels) if y == label]).tolist()
        shares = rng.dirichlet([alpha] * clients)
        counts = [int(share * len(members)) for share in shares]
        counts[0] = len(members) - sum(counts[1:])
        for client, count in enumerate(counts):
            expected[client] += members[:count]
            members = members[count:]
    parts = dirichlet(labels, clients, np.random.default_rng(seed), alpha=alpha, remainder="first")
    assert [part.tolist() for part in parts] == [sorted(part) for part in expected]


@pytest.mark.parametrize(
    ("remainder", "surplus"),
    # Rounding down costs everyone half an image on average; "first" hands all K halves to client 0.
    [("first", [-0.5 + 6 / 2] + [-0.5] * 5), ("unbiased", [0.0] * 6)],
)
def test_what_rounding_gives_each_client_on_average(remainder: Any, surplus: list[float]) -> None:
    labels, found = np.zeros(1000, dtype=np.int64), []
    for seed in range(400):
        rng = Recording(seed)
        parts = dirichlet(labels, 6, rng, alpha=1.0, remainder=remainder)  # type: ignore[arg-type]
        found.append(np.array(sizes(parts)) - rng.drawn[0] * 1000)
    # A rounding error has at most variance 6/12, so its mean over 400 draws has at most 0.035 as its deviation.
    assert np.mean(found, axis=0) == pytest.approx(np.array(surplus), abs=0.14)


def test_dirichlet_shares_have_the_mean_and_the_variance_of_the_distribution() -> None:
    labels = np.zeros(1000, dtype=np.int64)
    drawn = [
        sizes(dirichlet(labels, 4, np.random.default_rng(seed), alpha=0.5, remainder="unbiased"))
        for seed in range(1000)
    ]
    shares = np.array(drawn) / 1000
    # K = 4, alpha = 0.5: mean 1/4, variance (1/4)(3/4)/(K alpha + 1) = 1/16
    assert shares.mean(axis=0) == pytest.approx(np.full(4, 1 / 4), abs=0.03)
    assert shares.var(axis=0) == pytest.approx(np.full(4, 1 / 16), abs=0.008)


def test_dirichlet_draws_each_class_anew() -> None:
    labels = np.repeat(np.arange(2), 500)
    tables = [
        label_counts(
            labels, dirichlet(labels, 3, np.random.default_rng(s), alpha=0.5, remainder="unbiased"), 2
        )
        for s in range(200)
    ]
    shares = np.array(tables)[:, 0, :]
    together = np.asarray(np.corrcoef(shares.T))
    assert abs(together[0, 1]) < 0.25  # standard deviation 0.07


@pytest.mark.parametrize(("remainder", "extra"), [("first", 9), ("unbiased", 1)])
def test_dirichlet_with_a_huge_alpha_is_near_iid(remainder: Any, extra: int) -> None:
    labels = np.repeat(np.arange(3), 1000)
    parts = dirichlet(labels, 10, np.random.default_rng(0), alpha=1e6, remainder=remainder)
    # The standard deviation of a share is about 1e-4, 0.1 of an image.
    table = label_counts(labels, parts, 3)
    assert (abs(table[1:] - 100) <= 2).all()
    assert (abs(table[0] - 100) <= 2 + extra).all()


def test_dirichlet_with_a_tiny_alpha_gives_each_class_to_one_client() -> None:
    labels = np.repeat(np.arange(5), 100)
    parts = dirichlet(labels, 4, np.random.default_rng(0), alpha=1e-4, remainder="unbiased")
    assert sorted(label_counts(labels, parts, 5).max(axis=0)) == [100] * 5


def test_the_smaller_alpha_the_more_heterogeneous() -> None:
    labels = np.repeat(np.arange(10), 200)

    def mean_distance(alpha: float) -> float:
        draws = (dirichlet(labels, 10, np.random.default_rng(seed), alpha=alpha) for seed in range(10))
        return float(np.mean([heterogeneity(label_counts(labels, d, 10)).total_variation for d in draws]))

    distances = [mean_distance(alpha) for alpha in (0.05, 0.25, 0.5, 1.0, 100.0)]
    assert distances == sorted(distances, reverse=True)


@PROPERTY
@given(st.sampled_from([dirichlet, quantity]), st.integers(1, 4), st.integers(0, 5), SEEDS)
def test_min_size_holds_for_every_client(split: Any, clients: int, min_size: int, seed: int) -> None:
    labels = np.repeat(np.arange(4), 30)
    parts = split(labels, clients, np.random.default_rng(seed), alpha=0.5, min_size=min_size)
    assert min(sizes(parts)) >= min_size


@pytest.mark.parametrize("split", [dirichlet, quantity])
def test_an_infeasible_min_size_names_alpha_the_clients_and_the_smallest_shard(split: Any) -> None:
    labels = np.repeat(np.arange(2), 10)
    with pytest.raises(PartitionError) as caught:
        split(labels, 4, np.random.default_rng(0), alpha=0.25, min_size=6, max_draws=7)  # 4 * 6 > 20
    message = caught.value.message
    assert f"{split.__name__} with alpha = 0.25 over 4 clients" in message
    assert "min_size = 6 in 7 draws" in message
    assert "the smallest shard had at most" in message
    assert caught.value.hint is not None
    assert "min_size" in caught.value.hint


# --- rounding ---------------------------------------------------------------------------------------


def shard_sequence(*all_sizes: tuple[int, ...]) -> Any:
    draws = iter(all_sizes)
    return lambda: [np.arange(size) for size in next(draws)]


def test_redraw_returns_the_first_split_that_does() -> None:
    found = redraw(shard_sequence((1, 9), (3, 7), (5, 5)), 3, 3, "a split")
    assert sizes(found) == [3, 7]


def test_redraw_reports_the_best_smallest_shard_it_saw() -> None:
    # The smallest shards of the three draws have 1, 3 and 2 images.
    with pytest.raises(PartitionError, match=r"a split: .*min_size = 4 in 3 draws.*at most 3 images"):
        redraw(shard_sequence((1, 9), (3, 7), (8, 2)), 4, 3, "a split")


@pytest.mark.parametrize(
    ("reverse", "expected"),
    [
        # edges 0, 3.5, 5.6, 7 of 7; plus 0.5: 0.5, 4.0, 6.1, 7.5 -> 0, 4, 6, 7 -> 4, 2, 1
        (False, [4, 2, 1]),
        # from the last client: edges 0, 1.4, 3.5, 7; plus 0.5: 0.5, 1.9, 4.0, 7.5 -> 0, 1, 4, 7 -> 1, 3, 3
        (True, [3, 3, 1]),
    ],
)
def test_unbiased_counts_is_systematic_sampling(reverse: bool, expected: list[int]) -> None:
    rng = Scripted(offset=0.5, reverse=reverse)
    assert unbiased_counts(np.array([0.5, 0.3, 0.2]), 7, rng).tolist() == expected  # type: ignore[arg-type]


@PROPERTY
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 5000), SEEDS)
def test_unbiased_counts_sum_to_the_total_and_are_within_one_of_the_share(
    weights: list[float], total: int, seed: int
) -> None:
    assume(sum(weights) > 1e-6)
    shares = np.array(weights) / sum(weights)
    counts = unbiased_counts(shares, total, np.random.default_rng(seed))
    assert counts.dtype == np.int64
    assert counts.sum() == total
    assert (counts >= 0).all()
    assert (np.abs(counts - shares * total) < 1 + 1e-9 * max(total, 1)).all()


def test_unbiased_counts_sum_to_the_total_even_at_the_largest_offset_below_one() -> None:
    rng = Scripted(offset=float(np.nextafter(1, 0)))
    assert unbiased_counts(np.full(4, 0.25), 60_000, rng).sum() == 60_000  # type: ignore[arg-type]


def test_unbiased_counts_equal_the_share_on_average() -> None:
    shares = np.array([0.55, 0.25, 0.12, 0.07, 0.01])
    drawn = [unbiased_counts(shares, 11, np.random.default_rng(seed)) for seed in range(2000)]
    # A count takes two neighbouring values: its standard deviation is at most 0.5, that of the mean 0.011.
    assert np.mean(drawn, axis=0) == pytest.approx(shares * 11, abs=0.045)


@PROPERTY
@given(SEEDS)
def test_unbiased_counts_leave_whole_shares_alone_and_give_nothing_to_a_zero_share(seed: int) -> None:
    shares = np.array([0.5, 0.0, 0.25, 0.25])
    assert unbiased_counts(shares, 8, np.random.default_rng(seed)).tolist() == [4, 0, 2, 2]


# --- quantity ---------------------------------------------------------------------------------------


def test_quantity_sizes_are_the_shares() -> None:
    parts = quantity(np.arange(8) % 2, 3, Scripted(shares=[[0.5, 0.25, 0.25]]), alpha=1.0)  # type: ignore[arg-type]
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5], [6, 7]]


def test_quantity_with_a_huge_alpha_has_equal_sizes() -> None:
    labels = np.zeros(1000, dtype=np.int64)
    assert all(abs(n - 100) <= 2 for n in sizes(quantity(labels, 10, np.random.default_rng(0), alpha=1e6)))


def test_quantity_skews_sizes_and_leaves_the_label_mix() -> None:
    labels = np.repeat(np.arange(4), 5000)
    parts = quantity(labels, 5, np.random.default_rng(0), alpha=0.5, min_size=500)
    measures = heterogeneity(label_counts(labels, parts, 4))
    assert measures.size_gini > 0.2
    assert measures.total_variation < 0.03  # 500 and more images: a share of 1/4 is known to 0.02 or better


# --- shards -----------------------------------------------------------------------------------------


def test_shards_of_two_classes_over_two_clients_divide_four_classes() -> None:
    labels = np.repeat(np.arange(4), 3)
    table = label_counts(labels, shards(labels, 2, np.random.default_rng(0), classes_per_client=2), 4)
    # 2 clients x 2 classes = 4 places for 4 classes: each class has one holder, who has all 3 images.
    assert sorted(table.sum(axis=1)) == [6, 6]
    assert sorted(table.flatten()) == [0] * 4 + [3] * 4


@PROPERTY
@given(st.integers(1, 7), st.integers(1, 7), st.data(), SEEDS)
def test_shards_hold_exactly_so_many_classes_with_holders_and_images_shared_equally(
    clients: int, classes: int, data: st.DataObject, seed: int
) -> None:
    per_client = data.draw(st.integers(-(-classes // clients), classes))
    labels = np.repeat(np.arange(classes), data.draw(st.integers(clients, 20)))
    parts = shards(labels, clients, np.random.default_rng(seed), classes_per_client=per_client)
    table = label_counts(labels, parts, classes)
    assert ((table > 0).sum(axis=1) == per_client).all()
    holders = (table > 0).sum(axis=0)
    assert holders.max() - holders.min() <= 1
    for column in table.T:
        held = column[column > 0]
        assert held.max() - held.min() <= 1


def test_shards_of_all_classes_are_balanced_like_iid() -> None:
    labels = np.repeat(np.arange(3), 12)
    table = label_counts(labels, shards(labels, 4, np.random.default_rng(0), classes_per_client=3), 3)
    assert (table == 3).all()


def test_shards_of_more_classes_than_there_are_is_an_error() -> None:
    with pytest.raises(PartitionError, match=r"classes_per_client = 3 over 5 clients.*only 2 classes"):
        shards(np.array([0, 1, 1]), 5, np.random.default_rng(0), classes_per_client=3)


def test_shards_with_too_few_places_for_the_classes_is_an_error_that_says_what_to_raise() -> None:
    with pytest.raises(PartitionError, match=r"over 2 clients: 2 places cannot hold all 3 classes") as caught:
        shards(np.array([0, 1, 2]), 2, np.random.default_rng(0), classes_per_client=1)
    assert "would have no client" in caught.value.message
    assert caught.value.hint == "raise classes_per_client or the number of clients"
