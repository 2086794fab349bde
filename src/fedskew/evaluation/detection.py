"""Which clients an aggregator left out, compared with the truth, which no aggregator knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def detection_metrics(weights: Mapping[int, float], malicious: Collection[int]) -> dict[str, float]:
    """How well the weights tell adversaries from honest clients.

    ``detection_true_positive_rate``: the share of the round's adversaries that have weight 0;
    ``detection_false_positive_rate``: the same of its honest clients; ``weight_malicious``: the share of
    all weight that adversaries have. Left out where there is no such client.

    Args:
        weights: of each client in the aggregate, by id; empty for a rule that does not report them.
        malicious: the adversaries that acted in the round.
    """
    bad = [weight for client, weight in weights.items() if client in malicious]
    good = [weight for client, weight in weights.items() if client not in malicious]
    found = {}
    for name, group in (("true", bad), ("false", good)):
        if group:
            found[f"detection_{name}_positive_rate"] = sum(weight == 0 for weight in group) / len(group)
    if bad and sum(weights.values()):
        found["weight_malicious"] = sum(bad) / sum(weights.values())
    return found
