"""Inner-product manipulation: the honest mean turned around (UAI 2020)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.attacks.reference import by_all, reference
from fedskew.portable import row_mean
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng


def ipm(info: DatasetInfo, *, eps: Annotated[float, Field(gt=0, allow_inf_nan=False)]) -> Attack:
    """Every adversary sends minus the mean mu of the honest updates, times a factor.

    Formula: delta <- -eps * mu

    Among n updates of equal weight, f of them the adversaries', the mean is (n - f - eps f) / n * mu: it is reversed
    only if eps > (n - f) / f, 9 for 1 of 10 clients. A smaller eps is meant for rules that choose among rows, which
    then take one of a direction that is wrong, and small. The threat model is "all-updates". Where a round has no
    honest client, mu is the mean of the adversaries' own updates.

    Args:
        eps: the factor, > 0. There is no default, because it depends on the rule: Xie et al. have small ones for
            Krum and large ones for the median; "opt-ipm" searches for it.

    Reference: Xie, Koyejo & Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation",
    UAI 2020.

    The honest mean is (2, 3).

    >>> from fedskew import craft
    >>> craft("ipm", [[1.0, 2.0], [3.0, 4.0]], eps=0.5)
    tensor([[-1.0000, -1.5000]])
    """

    def manipulate(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        return by_all(-eps * row_mean(reference(deltas, view)), deltas)

    return Attack(craft=manipulate, threat_model="all-updates")
