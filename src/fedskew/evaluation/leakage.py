"""What a privacy attack found, compared with the truth: pure functions of scores and of who holds what.

The trap of uneven data: a client's images have another mix of classes than test images, and a model knows frequent
classes better. So an attack that only looks at losses tells the client's images from test images, although the model
has memorised nothing. Hence two figures for each attack: *pooled*, members against test images, and *matched*, members
against images of the same client and class that were held out. What is due to the distribution of the data, not to the
memory of the model, is the first minus members against all held-out images of the same client, which have the same mix
of classes: there, as in the first, a member is compared with images of other classes too, which matching avoids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from fedskew.protocols import Aim

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FEWEST = 2
"""False positives that a false positive rate must allow, for the true positive rate at it to be reported."""


@dataclass(frozen=True)
class Truth:
    """What evaluation knows about the records that an attack asks about.

    Attributes:
        member: bool [N], whether it was trained on.
        client: int64 [N], whose it is, trained on or held out, by its row of the scores; -1 for a test image, which is
            nobody's.
        label: int64 [N].
        mixes: float64 [A, C], the shares of the classes in what each client trains on; NaN for a client that nothing
            is asked about.
        holders: float64 [A], 1 for a client that holds the planted property, 0 for one that does not, NaN for one that
            this is not asked of (an adversary, a client without data); None where no property is planted.
        asked: int64, the rows of the clients whose records are asked about.
    """

    member: Mask
    client: Ids
    label: Ids
    mixes: Array
    asked: Ids
    holders: Array | None = None

    @property
    def own(self) -> Mask:
        """bool [N], the records that are a client's."""
        held: Mask = self.client >= 0
        return held


def leakage(aim: Aim, scores: Array, truth: Truth, threshold: float | None = None) -> dict[str, float]:
    """How good a guess is, by metric; metrics that cannot be had are left out.

    Args:
        scores, threshold: as in ``protocols.Guess``.
    """
    if aim == "membership":
        return membership(scores, truth, threshold)
    if aim == "source":
        return source(scores, truth)
    if aim == "labels":
        return label_mixes(scores, truth)
    return planted(scores, truth)


def auc(positive: Array, negative: Array) -> float:
    """The probability that a positive has a higher score than a negative, a tie counting one half (Mann-Whitney)."""
    ranks = rankdata(np.concatenate([positive, negative]))
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))


def stratified_auc(scores: Array, positive: Mask, strata: Ids) -> float:
    """The same within strata, each weighted by its positives; NaN where no stratum has both kinds.

    Args:
        scores: float64 [n].
        strata: int64 [n], which stratum each belongs to.
    """
    wins = total = 0.0
    for stratum in np.unique(strata):
        here = strata == stratum
        members, others = scores[here & positive], scores[here & ~positive]
        if len(members) and len(others):
            wins, total = wins + len(members) * auc(members, others), total + len(members)
    return wins / total if total else float("nan")


def true_positive_rate(positive: Array, negative: Array, rate: float) -> float | None:
    """The share of positives above the lowest threshold at which at most ``rate`` of the negatives are.

    Where scores tie at the threshold, a share of those that tie counts on both sides, as if they came in random order
    (the line between two points of the ROC curve): coarse scores are no reason for 0.

    None where that would be fewer than ``FEWEST`` negatives.

    >>> negative = np.arange(200.0)
    >>> true_positive_rate(np.array([500.0, 198.5, 197.5, 0.0]), negative, 0.01)  # two negatives are above 197
    0.75
    >>> true_positive_rate(np.ones(200), np.ones(200), 0.01)
    0.01
    """
    allowed = int(np.floor(rate * len(negative) + 1e-9))
    if allowed < FEWEST or not len(positive):
        return None
    levels = np.unique(np.concatenate([positive, negative]))[::-1]
    false, true = (
        np.concatenate([[0], np.searchsorted(np.sort(-kind), -levels, side="right")])
        for kind in (negative, positive)
    )
    last = int(np.flatnonzero(false <= allowed)[-1])
    hits = float(true[last])
    if false[last] < allowed:
        share = (allowed - false[last]) / (false[last + 1] - false[last])
        hits += float(share * (true[last + 1] - true[last]))
    return hits / len(positive)


def membership(scores: Array, truth: Truth, threshold: float | None = None) -> dict[str, float]:
    """``auc`` (matched), ``auc_pooled``, ``auc_of_distribution`` (the second minus that against all held-out images of
    the client), ``tpr_at_1`` and ``tpr_at_01`` (at a false positive rate of 1 % and 0.1 %), ``balanced_accuracy`` and
    ``advantage``.

    A client's row of scores is asked about that client's records and about test images only, and every client counts
    once in all AUCs. Records of which an attack says nothing (NaN) do not count; a client is left out if its members or
    its held-out images are all such.

    Args:
        scores: [N] or [A, N].
    """
    rows = (
        scores
        if scores.ndim == 2
        else np.broadcast_to(scores, (int(truth.asked.max(initial=-1)) + 1, len(scores)))
    )
    own, about = np.full(len(truth.client), np.nan), np.isin(truth.client, truth.asked)
    own[about] = rows[truth.client[about], np.flatnonzero(about)]
    told, test = ~np.isnan(own), ~truth.own
    by_class, by_client, by_all = [], [], []
    known = np.zeros_like(told)
    for k in truth.asked:
        mine = told & (truth.client == k)
        members, others = own[mine & truth.member], own[mine & ~truth.member]
        if not len(members) or not len(others):
            continue
        known |= mine
        by_class.append(stratified_auc(own[mine], truth.member[mine], truth.label[mine]))
        by_client.append(auc(members, others))
        elsewhere = rows[k, test]
        if not np.isnan(elsewhere).all():
            by_all.append(auc(members, elsewhere[~np.isnan(elsewhere)]))
    by_class = [one for one in by_class if not np.isnan(one)]
    if not by_class:
        return {}
    found = {"auc": float(np.mean(by_class))}
    if len(by_all) == len(by_client):
        found["auc_pooled"] = float(np.mean(by_all))
        found["auc_of_distribution"] = found["auc_pooled"] - float(np.mean(by_client))
    own, member = own[known], truth.member[known]
    members, others = own[member], own[~member]
    for name, rate in (("tpr_at_1", 0.01), ("tpr_at_01", 0.001)):
        share = true_positive_rate(members, others, rate)
        if share is not None:
            found[name] = share
    cut = float(np.median(own)) if threshold is None else threshold
    hits, alarms = float((members >= cut).mean()), float((others >= cut).mean())
    return found | {"balanced_accuracy": (hits + 1 - alarms) / 2, "advantage": hits - alarms}


def source(scores: Array, truth: Truth) -> dict[str, float]:
    """``source_accuracy`` on records that were trained on, ``source_accuracy_held_out`` on those held out, and
    ``source_advantage``, their difference: what is known because a record was trained on.

    Args:
        scores: [A, N]; a client about which nothing is asked is never guessed.
    """
    clients = np.array([k for k in truth.asked if not np.isnan(scores[k]).any()], dtype=np.int64)
    if len(clients) < 2:
        return {}
    right = clients[scores[clients].argmax(axis=0)] == truth.client
    known = np.isin(truth.client, clients)
    members, others = right[known & truth.member], right[known & ~truth.member]
    trained, held_out = float(members.mean()), float(others.mean())
    return {
        "source_accuracy": trained,
        "source_accuracy_held_out": held_out,
        "source_advantage": trained - held_out,
    }


def label_mixes(scores: Array, truth: Truth) -> dict[str, float]:
    """``label_error``: L1 distance of the guessed and the true shares, mean over clients; beside it what knows nothing
    of the client has: ``label_error_global`` with the mean of these mixes, ``label_error_uniform``.

    Args:
        scores: [A, C].
    """
    clients = [k for k in range(len(scores)) if not np.isnan([*scores[k], *truth.mixes[k]]).any()]
    if not clients:
        return {}
    mixes, guessed = truth.mixes[clients], scores[clients]
    everyone = mixes.mean(axis=0)

    def distance(guess: Array) -> float:
        return float(np.abs(guess - mixes).sum(axis=1).mean())

    return {
        "label_error": distance(guessed),
        "label_error_global": distance(np.broadcast_to(everyone, mixes.shape)),
        "label_error_uniform": distance(np.full(mixes.shape, 1 / mixes.shape[1])),
    }


def planted(scores: Array, truth: Truth) -> dict[str, float]:
    """``property_auc``: the probability that a client with the property has a higher score than one without.

    Args:
        scores: [A].
    """
    if truth.holders is None:
        return {}
    known = ~np.isnan(scores)
    positive, negative = scores[known & (truth.holders == 1)], scores[known & (truth.holders == 0)]
    return {"property_auc": auc(positive, negative)} if len(positive) and len(negative) else {}
