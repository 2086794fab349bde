"""How long a backdoor outlives its attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

from fedskew.protocols import RoundRecord

ALIVE = 0.5
"""The attack success rate from which on a backdoor counts as alive."""


def lifespan(history: Sequence[RoundRecord], now: Mapping[str, float], stop: int | None) -> dict[str, float]:
    """``lifespan``: the rounds after ``stop`` before the first in which the attack success rate is below 50 %.

    It grows with each round while the backdoor lives and stays as it is afterwards, even if the rate rises again. Left
    out up to ``stop``, and where the rate is not measured. It ends with the run: where it is the number of rounds after
    ``stop``, the backdoor lives at the last of them, and its lifespan is that long or longer.

    Args:
        history: the rounds before this one, from the first on.
        now: the metrics of this round.
        stop: the last round in which adversaries may act; None where there is none.
    """
    if stop is None or len(history) < stop or "attack_success_rate" not in now:
        return {}
    after = [record.metrics for record in history[stop:]] + [now]
    rates = (metrics.get("attack_success_rate", 0.0) for metrics in after)
    return {"lifespan": float(sum(1 for _ in takewhile(lambda rate: rate >= ALIVE, rates)))}
