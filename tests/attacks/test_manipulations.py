"""Gaussian noise, IPM, ALIE and Opt-ALIE: rows by hand, by a plain loop, and those that ByzFL sends."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from attack_helpers import crafted, view
from fedskew import aggregate, craft
from fedskew.attacks.alie import alie
from fedskew.attacks.gaussian import gaussian
from fedskew.attacks.ipm import ipm
from fedskew.attacks.line_search import argmax_on_line
from fedskew.attacks.opt_alie import opt_alie
from fedskew.attacks.quantile import largest_z
from fedskew.attacks.tailored import STEP
from fedskew.errors import ConfigError
from fedskew.portable import row_mean
from helpers import PROPERTY, delta_matrices, toy_info

INFO = toy_info()
SMALL = [[4.0, -3, 0, 7, 2], [1, 5, 0, -2, 2], [-6, 2, 1, 3, 2], [8, 0, -1, 4, 2]]
"""Four honest updates. What ByzFL makes of them was computed once with byzfl 0.0.11, on float64 arrays."""


def sent(attack: Any, honest: Any, adversaries: int = 1) -> Tensor:
    """By an attack that sees the honest updates, whatever its own training gave."""
    rows = torch.tensor(honest)
    seen = view(torch.zeros(rows.shape[1]), adversaries, others=rows)
    return crafted(attack, torch.full((adversaries, rows.shape[1]), 99.0), seen).deltas


# --- inner-product manipulation ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eps", "byzfl"), [(2.0, [-3.5, -2.0, 0.0, -6.0, -4.0]), (0.5, [-0.875, -0.5, 0.0, -1.5, -1.0])]
)
def test_ipm_is_byzfls_inner_product_manipulation(eps: float, byzfl: list[float]) -> None:
    # byzfl: InnerProductManipulation(tau=eps)(SMALL)
    assert sent(ipm(INFO, eps=eps), SMALL, adversaries=2).tolist() == [byzfl] * 2
    assert ipm(INFO, eps=eps).threat_model == "all-updates"


@PROPERTY
@given(st.integers(1, 9), st.sampled_from([0.5, 0.9, 1.1, 2.0]), st.integers(0, 100))
def test_the_mean_is_reversed_exactly_if_eps_is_above_the_ratio_of_honest_to_malicious(
    adversaries: int, times: float, seed: int
) -> None:
    honest = torch.randn(10 - adversaries, 4, generator=torch.Generator().manual_seed(seed))
    eps = times * (10 - adversaries) / adversaries
    rows = craft("ipm", honest, adversaries, eps=eps)
    product = float(aggregate("mean", torch.cat([honest, rows])) @ honest.mean(0))
    assert (product < 0) == (times > 1)


# --- A Little Is Enough -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("z", "byzfl"),
    [
        (-1.5, [10.613548950617918, 6.04975246918104, 1.224744871391589, 8.612486080160913, 2.0]),
        (1.0, [-4.159032633745278, -2.366501646120693, -0.816496580927726, -0.7416573867739413, 2.0]),
    ],
)
def test_alie_is_byzfls_with_the_other_sign(z: float, byzfl: list[float]) -> None:
    # byzfl: ALittleIsEnough(tau=-z)(SMALL), which is mean + tau * the sample standard deviation. Four float32
    # roundings of numbers below 16 are 4 * 2^-21.
    found = sent(alie(INFO, z=z), SMALL, adversaries=2)
    assert torch.equal(found[0], found[1])
    assert found[0].tolist() == pytest.approx(byzfl, abs=4 * 2**-21)


@PROPERTY
@given(delta_matrices(), st.floats(-3, 3))
def test_alie_is_mean_minus_z_standard_deviations_column_by_column(deltas: np.ndarray, z: float) -> None:
    (found,) = sent(alie(INFO, z=z), deltas)
    for column, value in zip(deltas.astype(np.float64).T, found.tolist(), strict=True):
        mean = statistics.fmean(column)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in column) / max(1, len(column) - 1))
        size = abs(mean) + abs(z) * deviation
        assert value == pytest.approx(mean - z * deviation, abs=4 * 2**-24 * size)


@PROPERTY
@given(delta_matrices())
def test_alie_at_0_is_the_mean(deltas: np.ndarray) -> None:
    assert torch.equal(sent(alie(INFO, z=0.0), deltas)[0], row_mean(torch.from_numpy(deltas)))


def test_the_formula_gives_the_z_of_the_paper() -> None:
    # n = 50, f = 24: s = 26 - 24 = 2 and Phi(z) = (50 - 24 - 2) / 26; f = 10: s = 16 and Phi(z) = 24 / 40.
    assert largest_z(50, 24) == pytest.approx(1.426, abs=5e-4)
    assert largest_z(50, 10) == pytest.approx(0.2533, abs=5e-5)
    for n in range(2, 60):
        for f in range(1, n // 2 + 1):
            s, honest = n // 2 + 1 - f, n - f
            if s < honest:
                probability = statistics.NormalDist().cdf(largest_z(n, f))
                assert probability == pytest.approx((honest - s) / honest, abs=1e-9)
            else:
                assert largest_z(n, f) == -math.inf
        assert [largest_z(n, f) for f in range(n // 2, n + 1)] == [largest_z(n, n // 2)] * (n - n // 2 + 1)


def test_one_or_two_adversaries_have_no_z_that_does_something() -> None:
    assert largest_z(10, 1) == pytest.approx(-0.1397, abs=5e-5)
    assert all(largest_z(n, 2) == 0 for n in range(4, 100, 2))
    assert all(largest_z(n, 1) == 0 for n in range(3, 100, 2))
    assert all(largest_z(n, 3) > 0 for n in range(6, 100))


def test_in_a_round_the_formula_has_the_clients_and_adversaries_of_this_round() -> None:
    honest = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    mu, sigma = honest.double().mean(0), honest.double().std(0)
    three = sent(alie(INFO), honest.tolist(), adversaries=3)
    assert three[0].double().tolist() == pytest.approx((mu - largest_z(10, 3) * sigma).tolist(), abs=1e-6)
    one = sent(alie(INFO), honest[:6].tolist(), adversaries=1)  # z < 0
    assert torch.equal(one[0], row_mean(honest[:6]))


def test_alie_without_the_honest_updates_goes_by_its_own() -> None:
    attack = alie(INFO, z=1.0, threat_model="own-updates")
    assert attack.threat_model == "own-updates"
    own = torch.tensor([[0.0, 1.0], [4.0, 1.0]])  # mean 2, deviation 2.83
    found = crafted(attack, own, view(torch.zeros(2), 2)).deltas
    assert found.tolist() == [pytest.approx([2 - 8**0.5, 1.0])] * 2
    with pytest.raises(ConfigError, match="'alie' needs z where the adversaries see their own"):
        alie(INFO, threat_model="own-updates")


# --- Gaussian noise ---------------------------------------------------------------------------------


def test_noise_is_in_the_scale_of_the_updates_and_each_adversary_has_its_own() -> None:
    honest, own = torch.full((4, 20_000), 3.0), torch.full((2, 20_000), 0.5)
    known = {"own-updates": None, "all-updates": honest}
    for threat, rms in (("own-updates", 0.5), ("all-updates", 3.0)):
        attack = gaussian(INFO, scale=2.0, threat_model=threat)  # type: ignore[arg-type]
        assert attack.threat_model == threat
        found = crafted(attack, own, view(torch.zeros(20_000), 2, others=known[threat])).deltas
        # Known to 1 / sqrt(40,000) = 0.5 % of the deviation.
        assert found.std(1).tolist() == pytest.approx([2 * rms] * 2, rel=0.03)
        assert found.mean(1).tolist() == pytest.approx([0, 0], abs=0.06 * rms)
        assert not torch.equal(found[0], found[1])


@PROPERTY
@given(st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**20]))
def test_noise_scales_with_the_updates(factor: float) -> None:
    own = torch.randn(2, 5, generator=torch.Generator().manual_seed(3))
    one, other = (crafted(gaussian(INFO), f * own, view(torch.zeros(5), 2)).deltas for f in (1.0, factor))
    assert torch.equal(other, factor * one)


def test_no_scale_is_no_update() -> None:
    assert not craft("gaussian", SMALL, scale=0.0).any()


# --- Opt-ALIE ---------------------------------------------------------------------------------------

RULES: list[Any] = ["mean", "median", {"name": "krum", "f": 1}]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_opt_alie_harms_at_least_as_much_as_alie_at_any_z_it_looks_at(rule: Any) -> None:
    honest = torch.randn(6, 8, generator=torch.Generator().manual_seed(2))
    unharmed = aggregate(rule, torch.cat([honest, row_mean(honest)[None]]))

    def harm(rows: Tensor) -> float:
        return float((aggregate(rule, torch.cat([honest, rows])) - unharmed).double().norm())

    grid: list[float] = []

    def at(z: float) -> float:
        grid.append(z)
        return harm(sent(alie(INFO, z=z), honest.numpy()))

    argmax_on_line(at, evaluations=20, step=STEP)
    assert len(grid) == 20
    best = harm(craft("opt-alie", honest, aggregator=rule))
    assert best >= max(harm(sent(alie(INFO, z=z), honest.numpy())) for z in grid) * (1 - 1e-6)
    assert best > 0


def test_opt_alie_does_at_least_the_harm_of_byzfls() -> None:
    # byzfl: Optimal_ALittleIsEnough(agg=Median(), pre_agg_list=[], f=1)(SMALL) moves the median by 2.6575 from the
    # honest mean. Theirs goes the other way (mean + z sigma), so that here the honest rows have the other sign.
    honest = -torch.tensor(SMALL)
    (row,) = craft("opt-alie", honest, aggregator="median")
    moved = torch.cat([honest, row[None]]).median(0).values - honest.mean(0)
    assert float(moved.norm()) >= 2.6575364 - 1e-6


def test_opt_alie_says_what_it_must_know() -> None:
    assert opt_alie(INFO).threat.knows_defence
    with pytest.raises(ConfigError, match="'opt-alie' needs the honest updates and a defence"):
        crafted(opt_alie(INFO), torch.ones(1, 2), view(torch.zeros(2)))


# --- whoever sees no honest client ------------------------------------------------------------------


def test_where_nobody_is_honest_they_go_by_their_own() -> None:
    own = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    seen = view(torch.zeros(2), 2, others=torch.zeros(0, 2))
    assert crafted(ipm(INFO, eps=1.0), own, seen).deltas.tolist() == [[-2, -2]] * 2
    assert crafted(alie(INFO, z=1.0), own, seen).deltas.tolist() == [pytest.approx([2 - 2**0.5, 2])] * 2
