"""Epsilon: against the equation that it solves, its limits, and dp-accounting where that is installed."""

from __future__ import annotations

import doctest
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from fedskew.aggregation import privacy
from fedskew.aggregation.privacy import epsilon, gaussian_epsilon
from fedskew.errors import ConfigError
from helpers import PROPERTY


@PROPERTY
@given(st.floats(0.01, 20), st.floats(1e-9, 0.1))
def test_it_solves_the_equation_of_gaussian_privacy(mu: float, delta: float) -> None:
    found = gaussian_epsilon(mu, delta)
    given = norm.cdf(-found / mu + mu / 2) - math.exp(
        min(700, found) + norm.logcdf(-found / mu - mu / 2) + max(0.0, found - 700)
    )
    if found:
        assert given == pytest.approx(delta, rel=1e-6)
    else:
        assert given <= delta


def test_by_hand() -> None:
    # 1-GDP is (1, 0.1269)-private: Phi(-0.5) - e Phi(-1.5) = 0.3085 - 2.71828 * 0.0668.
    assert gaussian_epsilon(1.0, norm.cdf(-0.5) - math.e * norm.cdf(-1.5)) == pytest.approx(1.0)
    # And (0, 0.3829)-private: Phi(0.5) - Phi(-0.5).
    assert gaussian_epsilon(1.0, 0.383) == 0
    assert 0 < gaussian_epsilon(1.0, 0.3829) < 0.001
    assert not doctest.testmod(privacy).failed


def test_more_noise_fewer_rounds_and_a_higher_delta_lower_it() -> None:
    assert epsilon(2.0, 10) < epsilon(1.0, 10) < epsilon(1.0, 20) < epsilon(0.5, 20) < epsilon(1e-3, 20)
    assert epsilon(1.0, 10, delta=1e-3) < epsilon(1.0, 10, delta=1e-5)
    assert epsilon(1.0, 10) == pytest.approx(epsilon(2.0, 40))  # only sqrt(rounds) / z counts


def test_limits() -> None:
    assert epsilon(1e9, 100) == 0
    assert epsilon(math.inf, 100) == 0
    assert epsilon(1.0, 0) == 0
    assert epsilon(0.0, 0) == 0
    assert epsilon(0.0, 1) == math.inf
    assert epsilon(1e-200, 1) == math.inf
    assert math.isfinite(epsilon(1e-3, 1000))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_multiplier": -1.0}, "noise_multiplier = -1: must be >= 0"),
        ({"noise_multiplier": math.nan}, "noise_multiplier = nan: must be >= 0"),
        ({"rounds": -1}, "rounds = -1: must be >= 0"),
        ({"sampling_rate": 0.0}, "sampling_rate = 0: must be above 0 and at most 1"),
        ({"sampling_rate": 1.5}, "sampling_rate = 1.5: must be above 0 and at most 1"),
        ({"delta": 0.0}, "delta = 0: must be above 0 and below 1"),
        ({"delta": 1.0}, "delta = 1: must be above 0 and below 1"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        epsilon(**{"noise_multiplier": 1.0, "rounds": 1, **changes})  # type: ignore[arg-type]
    assert caught.value.message == message


def test_without_the_package_for_sampling_it_says_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ConfigError, match="package dp-accounting, which is not installed") as caught:
        epsilon(1.0, 10, sampling_rate=0.1)
    assert str(caught.value.hint).startswith("pip install 'fedskew[privacy]'")
    assert epsilon(1e9, 10, sampling_rate=0.1) == 0  # what is 0 for all clients is 0 for a sample of them


def renyi(z: float, rounds: int, rate: float, relation: str) -> float:
    """What dp-accounting says of a Gaussian mechanism, of drawn cohorts where the rate is below 1."""
    accounting = pytest.importorskip("dp_accounting")
    rdp = pytest.importorskip("dp_accounting.rdp")
    event = accounting.GaussianDpEvent(z)
    if rate < 1:
        event = accounting.SampledWithoutReplacementDpEvent(1000, round(1000 * rate), event)
    neighbours = accounting.NeighboringRelation[relation]
    return float(rdp.RdpAccountant(neighboring_relation=neighbours).compose(event, rounds).get_epsilon(1e-5))


@pytest.mark.parametrize(("z", "rounds"), [(0.7, 3), (4.4, 85), (20.0, 100)])
def test_dp_accountings_bound_for_full_participation_is_a_little_above_it(z: float, rounds: int) -> None:
    bound = renyi(z, rounds, 1.0, "ADD_OR_REMOVE_ONE")
    assert epsilon(z, rounds) < bound < 1.15 * epsilon(z, rounds)


@pytest.mark.parametrize(("z", "rounds", "rate"), [(4.4, 85, 0.1), (1.0, 20, 0.01), (20.0, 100, 0.1)])
def test_a_drawn_cohort_has_dp_accountings_bound_at_a_sensitivity_of_2(
    z: float, rounds: int, rate: float
) -> None:
    bound = renyi(z / 2, rounds, rate, "REPLACE_ONE")
    assert epsilon(z, rounds, rate) == pytest.approx(bound, rel=1e-6)
    assert bound < epsilon(z, rounds)


def test_where_sampling_adds_nothing_the_bound_without_it_holds() -> None:
    pytest.importorskip("dp_accounting")
    assert epsilon(4.4, 85, sampling_rate=0.9) == epsilon(4.4, 85)
