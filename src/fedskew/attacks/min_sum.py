"""Min-Sum: as far from the mean as the honest updates are, in the sum of squares (NDSS 2021)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedskew.attacks.perturbation import Direction, moved
from fedskew.attacks.reference import Seen, by_all, reference
from fedskew.portable import norm
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng


def min_sum(
    info: DatasetInfo,
    *,
    direction: Direction = "unit",
    bound: Literal["max", "min"] = "max",
    threat_model: Seen = "all-updates",
) -> Attack:
    """Every adversary goes against the mean as far as the sums of squared distances allow.

    Formula: delta <- m = mu - gamma * p with the largest gamma for which sum_i ||m - delta_i||^2 <= B;
    B = max_i sum_j ||delta_i - delta_j||^2;
    p = mu / ||mu||, sign(mu) or sigma

    mu is the mean of the updates delta_i that the adversaries go by. Because mu is the mean, such a sum around any
    point x is the one around mu plus R ||x - mu||^2. So the bound says that m is no further from mu than the farthest
    update is: with p of length 1,

        gamma = max_i ||delta_i - mu||.

    Where all updates are equal, or p is 0, they send mu.

    Args:
        direction: p: "unit": mu / ||mu||; "sign": the signs of mu; "std": the standard deviation of each column.
        bound: "max": B is the largest sum; "min": the smallest, as in the authors' code: min_i instead of max_i, so
            that the row is nearer to mu.
        threat_model: "all-updates": the honest updates; "own-updates": those of the adversaries' own training, two
            or more.

    Reference: Shejwalkar & Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning", NDSS 2021, section IV.

    The mean is 3, from which the updates are 3, 1 and 4 away. The sums of squares around them are 4 + 49 = 53,
    4 + 25 = 29 and 49 + 25 = 74; around 3 - 1 it is 4 + 0 + 25 = 29, and around 3 - 4 it is 1 + 9 + 64 = 74.

    >>> from fedskew import craft
    >>> craft("min-sum", [[0.0], [2.0], [7.0]], bound="min"), craft("min-sum", [[0.0], [2.0], [7.0]])
    (tensor([[2.]]), tensor([[-1.]]))
    """
    extreme = torch.amax if bound == "max" else torch.amin

    def send(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        rows = reference(deltas, view)

        def reach(mu: Tensor, p: Tensor) -> Tensor:
            return extreme(torch.stack([norm(row - mu) for row in rows]), dim=0)

        return by_all(moved(rows, direction, reach), deltas)

    return Attack(craft=send, threat_model=threat_model)
