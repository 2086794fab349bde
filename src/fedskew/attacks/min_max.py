"""Min-Max: as far from the mean as the two honest updates that are furthest apart allow (NDSS 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.aggregation.matrix import squared_distances
from fedskew.attacks.perturbation import Direction, moved
from fedskew.attacks.reference import Seen, by_all, reference
from fedskew.portable import root, total
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng


def min_max(
    info: DatasetInfo, *, direction: Direction = "unit", threat_model: Seen = "all-updates"
) -> Attack:
    """Every adversary goes against the mean as far as the two most distant updates allow.

    Formula: delta <- m = mu - gamma * p with the largest gamma for which max_i ||m - delta_i|| <= D;
    D = max_ij ||delta_i - delta_j||;
    p = mu / ||mu||, sign(mu) or sigma

    mu is the mean of the updates delta_i that the adversaries go by. With p of length 1, a_i = mu - delta_i
    and c_i = <a_i, p>,

        gamma = min_i (c_i + sqrt(c_i^2 + D^2 - ||a_i||^2)).

    The authors halve steps from gamma = 10 until they are below 1e-5; this is where that leads, without an upper limit
    and without going over the bound by the last step. Where all updates are equal, or p is 0, they send mu.

    Args:
        direction: p: "unit": mu / ||mu||; "sign": the signs of mu; "std": the standard deviation of each column.
        threat_model: "all-updates": the honest updates; "own-updates": those of the adversaries' own training, two
            or more.

    Reference: Shejwalkar & Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning", NDSS 2021, section IV.

    The mean is 2, and no two are more than 4 apart: the row may be 4 away from 4.

    >>> from fedskew import craft
    >>> craft("min-max", [[0.0], [2.0], [4.0]])
    tensor([[0.]])
    >>> craft("min-max", [[0.0, 5.0], [4.0, 5.0]], direction="std")
    tensor([[0., 5.]])
    """

    def send(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        rows = reference(deltas, view)

        def reach(mu: Tensor, p: Tensor) -> Tensor:
            bound = squared_distances(rows).max()
            limits = []
            for row in rows:
                away = mu - row
                along, slack = total(away * p), (bound - total(away * away)).clamp_min(0)
                limits.append(along + root(along.square() + slack))
            return torch.stack(limits).min()

        return by_all(moved(rows, direction, reach), deltas)

    return Attack(craft=send, threat_model=threat_model)
