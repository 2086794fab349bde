"""How a rule treated each honest client of a run, and how unusual that client's data is.

The rule itself knows neither; both are joined here, from the run's records and its file of who holds what.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedskew.evaluation.detection import DOWN_WEIGHTED, relative_weights
from fedskew.partition.heterogeneity import Counts, distances
from fedskew.protocols import RoundRecord


@dataclass(frozen=True)
class Treated:
    """One honest client, over the rounds in which the rule gave it a weight, 0 among them.

    Attributes:
        unusualness: total variation distance of its label mix to that of all honest clients together, 0 to below 1.
        rounds: in how many it was weighed.
        rejected: the share of them in which its weight was 0.
        down_weighted: the share of them in which its weight was below half of an equal one, 0 included.
        weight: the mean of its weight in units of an equal one.
    """

    client: int
    unusualness: float
    rounds: int
    rejected: float
    down_weighted: float
    weight: float


@dataclass(frozen=True)
class TreatedRun:
    """The honest clients of a run."""

    name: str
    seed: int
    clients: tuple[Treated, ...]


def treated(
    rounds: Sequence[Mapping[int, float]], counts: Counts, malicious: Collection[int]
) -> tuple[Treated, ...]:
    """How each honest client was treated; those that were never weighed or have no data are left out.

    Args:
        rounds: of each round the weight of each client whose update arrived, by id; empty where the rule gave none.
        counts: client x class table of true labels, int64 [K, C].
        malicious: the adversaries, who are left out, in the mix of labels too.
    """
    honest = [client for client in range(len(counts)) if client not in malicious]
    if not honest or not counts[honest].any():
        return ()
    unusual = dict(zip(honest, distances(counts[honest]).tolist(), strict=True))
    seen: dict[int, list[float]] = {}
    for weights in rounds:
        for client, weight in relative_weights(weights).items():
            seen.setdefault(client, []).append(weight)
    found = []
    for client in honest:
        if client in seen and not np.isnan(unusual[client]):
            given = np.array(seen[client])
            rejected, down = float((given == 0).mean()), float((given < DOWN_WEIGHTED).mean())
            found.append(Treated(client, unusual[client], len(given), rejected, down, float(given.mean())))
    return tuple(found)


def weighed(records: Sequence[RoundRecord]) -> list[Mapping[int, float]]:
    """The weights of each round in which the rule gave any."""
    return [record.client_weights for record in records if record.client_weights]
