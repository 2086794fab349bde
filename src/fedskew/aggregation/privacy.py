"""How much differential privacy the Gaussian mechanism gives a client: (noise multiplier, rounds, ...) -> epsilon."""

from __future__ import annotations

import math

from scipy.special import log_ndtr

from fedskew.errors import ConfigError

SCALE = 10**9
"""The sampling rate, as a number of clients of so many: the accountant looks at their ratio only."""


def epsilon(noise_multiplier: float, rounds: int, sampling_rate: float = 1.0, delta: float = 1e-5) -> float:
    """The epsilon at ``delta`` of the sums of so many rounds, each of vectors of norm <= C, plus N(0, (z C)^2 I).

    Two runs are neighbours if one client's updates are 0 in one of them (one client is removed; the number that a
    sum is divided by is public). Where every client takes part in every round, the mechanism is mu-GDP with
    mu = sqrt(rounds) / z, and epsilon is exact (``gaussian_epsilon``).

    Where a cohort of fixed size is drawn without replacement in each round, and nobody learns who is in it, epsilon
    is the lower of two upper bounds: the one without sampling, and that of Renyi differential privacy for this
    sampling (Wang, Balle & Kasiviswanathan 2019), from the package ``dp-accounting``. The latter holds for
    neighbours in which one client's updates are **replaced**, of which these are a special case; a replaced vector
    moves the sum by 2C, so it is asked for the noise multiplier z / 2.

    Args:
        noise_multiplier: z, the standard deviation of the noise on the sum in units of the clipping norm C.
        rounds: with noise.
        sampling_rate: the size of a cohort in units of the number of clients.
        delta: well below 1 / clients.

    Raises:
        ConfigError: a number outside of its range; for a sampling rate below 1, ``dp-accounting`` is not installed.

    References: Dong, Roth & Su, "Gaussian Differential Privacy", 2022 (arXiv 1905.02383), Corollary 2.13, section 3;
    McMahan, Ramage, Talwar & Zhang, "Learning Differentially Private Recurrent Language Models", ICLR 2018.

    Four rounds with z = 2 are 1-GDP, so (1, Phi(-0.5) - e Phi(-1.5)) = (1, 0.1269)-private.

    >>> round(epsilon(2.0, 4, delta=0.1269), 3)
    1.0
    """
    for name, value, valid, expected in (
        ("noise_multiplier", noise_multiplier, noise_multiplier >= 0, ">= 0"),
        ("rounds", rounds, rounds >= 0, ">= 0"),
        ("sampling_rate", sampling_rate, 0 < sampling_rate <= 1, "above 0 and at most 1"),
        ("delta", delta, 0 < delta < 1, "above 0 and below 1"),
    ):
        if not valid:
            raise ConfigError(f"{name} = {value:g}: must be {expected}", field=name)
    if not rounds:
        return 0.0
    if not noise_multiplier:
        return math.inf
    exact = gaussian_epsilon(math.sqrt(rounds) / noise_multiplier, delta)
    if sampling_rate == 1 or not exact:
        return exact
    return min(exact, _sampled(noise_multiplier, rounds, sampling_rate, delta))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least epsilon >= 0 at which a mu-GDP mechanism is (epsilon, delta)-private.

    It solves delta = Phi(-epsilon / mu + mu / 2) - e^epsilon Phi(-epsilon / mu - mu / 2), which falls in epsilon.
    """

    def gap(value: float) -> float:
        over = math.exp(log_ndtr(-value / mu + mu / 2))
        return over - math.exp(value + log_ndtr(-value / mu - mu / 2)) - delta

    low, high = 0.0, mu * mu / 2 + mu * math.sqrt(2 * math.log(1 / delta))  # enough by its Renyi divergence
    if mu == 0 or gap(low) <= 0:
        return 0.0
    while low < (half := (low + high) / 2) < high:
        low, high = (half, high) if gap(half) > 0 else (low, half)
    return high


def _sampled(noise_multiplier: float, rounds: int, sampling_rate: float, delta: float) -> float:
    try:
        from dp_accounting import GaussianDpEvent, NeighboringRelation, SampledWithoutReplacementDpEvent
        from dp_accounting.rdp import RdpAccountant
    except ImportError:
        raise ConfigError(
            f"sampling_rate = {sampling_rate:g}: what sampling adds to the privacy is computed by the package "
            "dp-accounting, which is not installed",
            "pip install 'fedskew[privacy]'; without it, sampling_rate = 1 gives a bound that holds for any sampling",
            "sampling_rate",
        ) from None
    cohort = SampledWithoutReplacementDpEvent(
        SCALE, round(sampling_rate * SCALE), GaussianDpEvent(noise_multiplier / 2)
    )
    accountant = RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
    return float(accountant.compose(cohort, rounds).get_epsilon(delta))
