"""What a guess is worth: figures worked out by hand, limiting cases, and the trap of uneven data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fedskew.evaluation.leakage import (
    Truth,
    auc,
    label_mixes,
    leakage,
    membership,
    planted,
    source,
    stratified_auc,
    true_positive_rate,
)
from fedskew.evaluation.leakage_table import LEAKAGE, metric_name
from fedskew.evaluation.metric_table import meaning

NUMBERS = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


def truth(member: list[int], client: list[int], label: list[int] | None = None, clients: int = 2) -> Truth:
    labels = np.array(label if label is not None else [0] * len(member))
    asked = np.unique([k for k in client if k >= 0])
    mixes = np.full((clients, 2), np.nan)
    return Truth(np.array(member, dtype=bool), np.array(client), labels, mixes, asked)


@given(NUMBERS, NUMBERS)
def test_auc_is_that_of_scikit_learn_and_counts_ties_as_one_half(
    positive: list[int], negative: list[int]
) -> None:
    found = auc(np.array(positive, dtype=float), np.array(negative, dtype=float))
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    assert found == pytest.approx(wins / (len(positive) * len(negative)))
    theirs = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    assert found == pytest.approx(theirs)


def test_pairs_are_counted_within_a_stratum_only() -> None:
    """Stratum 0: one positive, its pair won. Stratum 1: one, which wins one pair of two. Between strata: all lost."""
    scores = np.array([0.9, 0.8, 0.5, 0.6, 0.4])
    positive = np.array([True, False, True, False, False])
    assert stratified_auc(scores, positive, np.array([0, 0, 1, 1, 1])) == pytest.approx(3 / 4)
    assert np.isnan(stratified_auc(scores[:1], positive[:1], np.array([0])))


def test_the_rate_is_taken_where_no_more_than_the_allowed_negatives_are_above() -> None:
    """Of 200 negatives 0 .. 199 two may be above at 1 %: the threshold is 197, and half of the members are above."""
    negative = np.arange(200.0)
    assert true_positive_rate(np.array([197.5, 300.0, 0.0, 197.0]), negative, 0.01) == 0.5
    assert true_positive_rate(np.array([200.0]), np.zeros(200), 0.01) == 1.0  # ties below
    assert true_positive_rate(np.array([0.0]), np.zeros(200), 0.01) == 0.01  # ties with all of them: chance
    tied = np.array(
        [9.0] * 4 + [0.0] * 196
    )  # half of the four may be above, and half of what ties with them is
    assert true_positive_rate(np.array([10.0, 9.0, 9.0, 0.0]), tied, 0.01) == 0.5
    assert true_positive_rate(np.array([1.0]), np.arange(199.0), 0.01) is None  # one count is not a rate


def test_perfect_and_blind_membership() -> None:
    who = truth([1, 1, 0, 0] * 2 + [0, 0], [0] * 4 + [1] * 4 + [-1, -1])
    known = who.member.astype(float)
    found = membership(known, who, threshold=0.5)
    assert (found["auc"], found["auc_pooled"], found["balanced_accuracy"], found["advantage"]) == (1, 1, 1, 1)
    blind = membership(np.zeros(10), who, threshold=0.5)
    assert (blind["auc"], blind["auc_pooled"], blind["balanced_accuracy"]) == (0.5, 0.5, 0.5)
    assert blind["advantage"] == 0
    assert "tpr_at_1" not in found  # four images are not enough


@given(NUMBERS, NUMBERS)
def test_the_rate_with_ties_is_the_mean_over_their_orders(positive: list[int], negative: list[int]) -> None:
    """Each order of what ties is as probable as any other, so the mean number of positives above is a share of them."""
    given_negative = np.repeat(np.array(negative, dtype=float), 10)
    allowed = max(2, len(given_negative) // 5)
    found = true_positive_rate(np.array(positive, dtype=float), given_negative, allowed / len(given_negative))
    above, left = 0.0, allowed
    for level in sorted({*positive, *negative}, reverse=True):
        tied = int((given_negative == level).sum())
        share = 1.0 if tied <= left else left / tied
        above += share * positive.count(level)
        left -= min(tied, left)
        if share < 1:
            break
    assert found == pytest.approx(above / len(positive))


def test_records_of_which_nothing_is_said_do_not_count() -> None:
    who = truth([1, 1, 0, 0, 0], [0, 0, 0, 0, -1], clients=1)
    scores = np.array([0.9, np.nan, 0.5, np.nan, 0.1])
    kept = np.flatnonzero(~np.isnan(scores))
    same = truth([1, 0, 0], [0, 0, -1], clients=1)
    assert membership(scores, who) == membership(scores[kept], same)
    assert membership(scores, who)["auc"] == 1.0
    of_others = np.array(
        [[0.9, 0.1, np.nan], [np.nan, 0.3, 0.2]]
    )  # client 0 says nothing of client 1's record
    pair = truth([1, 0, 1], [0, 0, 1])
    assert membership(of_others, pair)["auc"] == 1.0


def test_the_part_of_the_distribution_is_none_where_clients_are_alike() -> None:
    """Scores differ between classes, and test images have the client's mix: matched is higher, and so is no part."""
    who = truth([1, 1, 0, 0, 0, 0], [0, 0, 0, 0, -1, -1], [0, 1, 0, 1, 0, 1], clients=1)
    found = membership(np.array([0.6, 0.2, 0.5, 0.1, 0.5, 0.1]), who)
    assert (found["auc"], found["auc_pooled"], found["auc_of_distribution"]) == (1.0, 0.75, 0.0)


def test_what_only_the_class_tells_is_put_down_to_the_distribution() -> None:
    """A client of class 0 alone, scores that tell the class alone: members and held-out images have the same."""
    who = truth([1, 0, 0, 0], [0, 0, -1, -1], [0, 0, 1, 1], clients=1)
    found = membership(np.array([1.0, 1.0, 0.0, 0.0]), who)
    assert (found["auc"], found["auc_pooled"], found["auc_of_distribution"]) == (0.5, 1.0, 0.5)


def test_a_client_counts_once_however_many_images_it_has() -> None:
    """Client 0: one pair, won. Client 1: four members and four held-out images, all pairs lost."""
    who = truth([1, 0] + [1] * 4 + [0] * 4, [0, 0] + [1] * 8)
    scores = np.array([1.0, 0.0] + [0.0] * 4 + [1.0] * 4)
    assert membership(scores, who)["auc"] == 0.5


def test_each_client_is_asked_about_its_own_images_and_those_without_scores_are_left_out() -> None:
    who = truth([1, 0, 1, 0], [0, 0, 1, 1])
    rows = np.array([[1.0, 0.0, 0.0, 9.0], [np.nan] * 4])
    assert membership(rows, who)["auc"] == 1
    assert membership(np.full((2, 4), np.nan), who) == {}


def test_source_accuracy_by_hand_and_what_held_out_images_tell_of_it() -> None:
    """Client 0's member is found, client 1's is not; both held-out images are: half, all, and minus one half."""
    who = truth([1, 1, 0, 0], [0, 1, 0, 1])
    rows = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    found = source(rows, who)
    assert found == {"source_accuracy": 0.5, "source_accuracy_held_out": 1.0, "source_advantage": -0.5}
    assert source(np.array([[1.0] * 4, [np.nan] * 4]), who) == {}  # one client is no question


def test_label_mixes_beside_what_knows_nothing() -> None:
    who = truth([1, 1], [0, 1])
    who = Truth(who.member, who.client, who.label, np.array([[1.0, 0.0], [0.5, 0.5]]), who.asked)
    found = label_mixes(np.array([[1.0, 0.0], [0.0, 1.0]]), who)
    assert found == {"label_error": 0.5, "label_error_global": 0.5, "label_error_uniform": 0.5}
    assert label_mixes(who.mixes, who)["label_error"] == 0
    assert label_mixes(np.full((2, 2), np.nan), who) == {}


def test_holders_of_a_property() -> None:
    base = truth([1, 1, 1], [0, 1, 2], clients=3)
    who = Truth(base.member, base.client, base.label, base.mixes, base.asked, np.array([1.0, 0.0, 0.0]))
    assert planted(np.array([0.7, 0.1, 0.9]), who) == {"property_auc": 0.5}
    assert planted(np.array([0.7, 0.1, 0.9]), base) == {}
    assert planted(np.array([np.nan, 0.1, 0.9]), who) == {}
    assert planted(np.zeros(3), who) == {"property_auc": 0.5}


def test_of_the_property_not_only_those_are_asked_of_whom_there_are_records() -> None:
    """Client 0 holds it and has no records; client 3, an adversary, is not asked."""
    base = truth([1, 0], [1, 1], clients=4)
    holders = np.array([1.0, 0.0, 0.0, np.nan])
    who = Truth(base.member, base.client, base.label, base.mixes, base.asked, holders)
    assert planted(np.array([0.7, 0.1, 0.9, 9.0]), who) == {"property_auc": 0.5}


def test_every_figure_has_a_meaning() -> None:
    who = truth([1, 0] * 300 + [0] * 4, [0, 0] * 300 + [-1] * 4)
    found = {*leakage("membership", np.arange(604.0), who)}
    assert found - {"tpr_at_1"} < LEAKAGE.keys()
    row = meaning(metric_name("delta-loss", "auc_pooled"))
    assert row.label == "delta loss: membership AUC, pooled"
    assert row.better == "lower"
