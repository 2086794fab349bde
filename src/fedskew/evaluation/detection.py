"""Whom an aggregator left out or gave less weight, compared with the truth, which no aggregator knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

DOWN_WEIGHTED = 0.5
"""A client whose weight is below this share of an equal one counts as down-weighted: it has lost more of its say than
it has kept. Rules with smooth weights (FLTrust, a geometric median) give hardly any client exactly 0 or 1/S, and
one that is a little below 1/S has lost little. Of rules that take some clients alike and leave the others out, any
threshold up to 1 says the same: the down-weighted clients are those with weight 0."""


def relative_weights(weights: Mapping[int, float]) -> dict[int, float]:
    """Each client's weight in units of an equal one: S w_k / sum_j w_j; 1 for all in a plain mean of S clients.

    Where the rule gave nobody any weight, 0 for all.

    Args:
        weights: of each of the S clients whose updates arrived, by id; not negative.
    """
    total = sum(weights.values())
    return {client: weight * len(weights) / total if total else 0.0 for client, weight in weights.items()}


def detection_metrics(weights: Mapping[int, float], malicious: Collection[int]) -> dict[str, float]:
    """How well the weights tell adversaries from honest clients, and what they cost the honest ones.

    ``detection_true_positive_rate``: the share of the round's adversaries that have weight 0;
    ``detection_false_positive_rate``: the same of its honest clients; ``weight_malicious``: the share of
    all weight that adversaries have; ``down_weighted_malicious``, ``down_weighted_honest``: the shares of adversaries
    and of honest clients with less than ``DOWN_WEIGHTED`` of an equal weight 1/S, weight 0 included;
    ``equal_weight_honest``: how much of an equal weight honest clients have, mean of min(1, S w_k / sum_j w_j) (what
    one has beyond it makes up for nothing that another lacks). Left out where there is no such client.

    Args:
        weights: of each client in the aggregate, by id; empty for a rule that does not report them.
        malicious: the adversaries that acted in the round.
    """
    total, relative = sum(weights.values()), relative_weights(weights)
    bad = [client for client in weights if client in malicious]
    good = [client for client in weights if client not in malicious]
    found = {}
    for name, group in (("true", bad), ("false", good)):
        if group:
            found[f"detection_{name}_positive_rate"] = sum(weights[k] == 0 for k in group) / len(group)
    if bad and total:
        found["weight_malicious"] = sum(weights[k] for k in bad) / total
    for name, group in (("malicious", bad), ("honest", good)):
        if group:
            found[f"down_weighted_{name}"] = sum(relative[k] < DOWN_WEIGHTED for k in group) / len(group)
    if good:
        found["equal_weight_honest"] = sum(min(1.0, relative[k]) for k in good) / len(good)
    return found
