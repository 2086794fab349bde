"""A Little Is Enough: the honest mean, moved by a part of the honest updates' own spread (NeurIPS 2019)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.attacks.quantile import largest_z
from fedskew.attacks.reference import Seen, by_all, reference
from fedskew.errors import ConfigError
from fedskew.portable import row_deviation, row_mean
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng


def alie(
    info: DatasetInfo,
    *,
    z: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
    threat_model: Seen = "all-updates",
) -> Attack:
    """Every adversary sends the mean mu of the updates minus z of their standard deviations sigma.

    Formula: delta <- mu - z * sigma;
    z = Phi^-1((n - f - s) / (n - f)) and s = floor(n / 2 + 1) - f, unless given

    mu and sigma are the coordinate-wise mean and sample standard deviation (over R - 1) of the R updates that the
    adversaries go by: the honest ones, or those of their own training. (So in ByzFL; other implementations have the
    population's, over R.) The formula of z has the n clients of the round and the f adversaries among them, Phi the
    normal distribution: it is the largest z at which s honest clients lie further out, who make a majority with the
    adversaries. Often there is none: z < 0 for 1 of 10 clients, and z = 0 for 2 of any even n and for 1 of any odd n.
    More adversaries than floor(n / 2) have the z of that many. A run whose z is not above 0 even in its best round is
    refused when the config is read. In a round of a sampled cohort, z is that of the n and f of this round, and where
    it is not above 0 the adversaries send mu. So they do where R = 1, for which sigma is 0.

    Args:
        z: > 0, in standard deviations; None for the formula.
        threat_model: "all-updates", or "own-updates", under which they do not know n, so that z must be given.

    Raises:
        ConfigError: "own-updates" without z.

    Reference: Baruch, Baruch & Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed Learning",
    NeurIPS 2019, Algorithm 3.

    The columns have the means 3 and 0 and the standard deviations 2 and 0.

    >>> from fedskew import craft
    >>> craft("alie", [[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], z=1.5)
    tensor([[0., 0.]])
    """
    if z is None and threat_model == "own-updates":
        raise ConfigError("attack 'alie' needs z where the adversaries see their own updates alone")

    def send(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        rows = reference(deltas, view)
        others = 0 if view.others is None else len(view.others)
        away = max(0.0, largest_z(others + len(deltas), len(deltas))) if z is None else z
        return by_all(row_mean(rows) - away * row_deviation(rows), deltas)

    return Attack(craft=send, threat_model=threat_model)
