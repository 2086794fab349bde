"""The attack of Fang et al. on trimmed mean and median: just beyond the honest values (USENIX Security 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.reference import Seen, reference
from fedskew.portable import row_deviation, row_mean
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng

NEAR, FAR = 3.0, 4.0
"""Standard deviations from the mean, between which a value is drawn where the honest ones are not seen."""


def fang_trim(
    info: DatasetInfo,
    *,
    b: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0,
    threat_model: Seen = "all-updates",
) -> Attack:
    """Each adversary sends, in every entry, a value drawn just beyond all honest ones, on the side that is harmful.

    Formula: where mu_j > 0: delta_j ~ U[least / b, least] if least > 0, else U[b * least, least];
    where mu_j < 0: delta_j ~ U[greatest, b * greatest] if greatest > 0, else U[greatest, greatest / b]

    mu is the mean of the updates that they go by. Under "all-updates", the least and the greatest value of
    an entry are those of the honest updates.

    Under "own-updates" (the paper's partial knowledge) it is uniform in [mu - 4 sigma, mu - 3 sigma] where mu > 0 and
    in [mu + 3 sigma, mu + 4 sigma] where mu < 0, with mean and sample standard deviation of the adversaries' own
    updates, two or more. Entries with a mean of 0 stay 0. Each adversary has its own draws.

    The paper has weights where this has updates, local minus global, as all public implementations do: the interval
    depends on the sign of a value, so that the two differ where the values of an entry are near 0.

    Args:
        b: how far the interval goes, > 1.
        threat_model: "all-updates" (full knowledge) or "own-updates" (partial knowledge).

    Reference: Fang, Cao, Jia & Gong, "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", USENIX
    Security 2020, section 3 (attacking trimmed mean).

    The first entry grows, and its least value is 2: a value between 1 and 2. The second falls, and its greatest is 3:
    one between 3 and 6.

    >>> from fedskew import craft
    >>> row = craft("fang-trim", [[2.0, 3.0], [4.0, -9.0]])[0]
    >>> bool(1 <= row[0] <= 2), bool(3 <= row[1] <= 6)
    (True, True)
    """

    def interval(rows: Tensor) -> tuple[Tensor, Tensor]:
        """Its ends nearer to and further from the honest values, each [P]."""
        mu = row_mean(rows)
        sign = mu.sign()
        if threat_model == "own-updates":
            sigma = sign * row_deviation(rows)
            return mu - NEAR * sigma, mu - FAR * sigma
        near = torch.where(sign > 0, rows.amin(dim=0), rows.amax(dim=0)).where(sign != 0, mu)
        return near, torch.where(near * sign > 0, near / b, near * b)

    def draw(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        near, far = interval(reference(deltas, view))
        drawn = torch.from_numpy(rng.random(tuple(deltas.shape), dtype="float32")).to(deltas.device)
        return drawn.mul_(far - near).add_(near)

    return Attack(craft=draw, threat_model=threat_model)
