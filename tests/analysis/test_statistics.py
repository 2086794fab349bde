"""Intervals, tests, paired differences and trends: worked out by hand, and against scipy."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedskew.analysis import (
    estimate,
    estimates,
    holm,
    paired_differences,
    pooled_difference,
    summary_table,
    trend,
)
from fedskew.analysis.contrasts import scale_of
from fedskew.analysis.significance import holm_corrected, sign_flip, student
from fedskew.study.grid import Study
from helpers import near

ALPHAS, SETTINGS = [1.0, 0.5, 0.25], ["no attack", "backdoor"]


def study(**axes: Any) -> Study:
    given_axes = axes or {
        "alpha": {"field": "split.alpha", "values": ALPHAS},
        "setting": {"variants": {label: {} for label in SETTINGS}},
    }
    return Study.model_validate({"name": "s", "seeds": [0, 1, 2, 3, 4], "axes": given_axes})


def grid(
    measure: Callable[..., float | None], seeds: Sequence[int] = (0, 1, 2), metric: str = "accuracy"
) -> pd.DataFrame:
    """Results of the whole grid: ``measure(alpha, setting, seed)``; None for a run that is missing."""
    rows = [
        {"alpha": a, "setting": s, "seed": seed, "run": f"{a}-{s}-{seed}", "rounds": 3, metric: value}
        for seed in seeds
        for a, s in itertools.product(ALPHAS, SETTINGS)
        if (value := measure(a, s, seed)) is not None
    ]
    return pd.DataFrame(rows)


# --- one number per seed ----------------------------------------------------------------------------


def test_an_interval_by_hand() -> None:
    found = estimate([1.0, 2.0, 3.0], ["a", "b", "c"])
    # std 1, so 2 +/- t / sqrt(3) with t = 4.302653 for 2 degrees of freedom.
    assert (found.mean, found.std, found.n) == (2.0, 1.0, 3)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.runs == ("a", "b", "c")
    narrow = estimate([1.0, 2.0, 3.0], level=0.5)
    assert narrow.high == pytest.approx(2 + 0.816497 / math.sqrt(3), abs=1e-6)


def test_an_interval_in_the_limits() -> None:
    nothing = estimate([])
    assert nothing.n == 0
    assert math.isnan(nothing.mean)
    one = estimate([0.5, math.nan], ["a", "b"])
    assert (one.mean, one.n, one.runs) == (0.5, 1, ("a",))
    assert all(map(math.isnan, (one.std, one.low, one.high)))
    same = estimate([0.1, 0.1, 0.1])  # whose floating-point mean is not 0.1
    assert (same.mean, same.std, same.low, same.high) == (0.1, 0.0, 0.1, 0.1)


def test_students_test_by_hand() -> None:
    # Mean 2, std 1: t = 2 sqrt(3) with 2 degrees of freedom, where p = 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert student([1.0, 2.0, 3.0]) == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert math.isnan(student([1.0]))
    assert math.isnan(student([1.0, 1.001])), "the spread of two is a single difference"
    assert math.isnan(student([]))


def test_sign_flips_by_hand() -> None:
    # Of the eight sums of +-1 +-2 +-3 only 6 and -6 are as far out as 6.
    assert sign_flip([1, 2, 3]).p_value == 2 / 8
    # Of +-1 +-2 +-1 all but the two zeros are as far out as 1 + 2 - 1 = 2.
    assert sign_flip([1, 2, -1]).p_value == 6 / 8
    assert sign_flip([0.0, 0.0]).p_value == 1.0
    assert sign_flip([4.0]).p_value == 1.0
    assert [sign_flip([1.0] * n).smallest for n in (1, 3, 5, 6)] == [1.0, 0.25, 0.0625, 0.03125]
    assert math.isnan(sign_flip([]).p_value)


def test_sums_that_are_equal_on_paper_count_as_equal() -> None:
    # 0.1 + 0.2 - 0.3 is not 0 in floating point; on paper every one of the eight sums is at least as far out.
    assert sign_flip([0.1, 0.2, -0.3]).p_value == 1.0


def test_values_that_are_all_the_same_leave_it_to_the_sign_flips() -> None:
    assert student([3.0] * 5) == sign_flip([3.0] * 5).p_value == 0.0625
    assert student([0.0] * 5) == 1.0


def test_many_seeds_are_sampled_and_say_so() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, 25)
    found = sign_flip(values)
    assert found.monte_carlo
    assert found == sign_flip(values), "the draws are always the same"
    assert found.smallest == 1e-5
    exact = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=200_000, rng=np.random.default_rng(2)
    )
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.01)
    assert not sign_flip(values[:20]).monte_carlo


numbers = st.lists(st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=3, max_size=8)


@settings(deadline=None, max_examples=25)
@given(numbers)
def test_against_scipy(values: list[float]) -> None:
    assume(np.std(values) > 1e-3)
    assert student(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue, rel=1e-6)
    flips = scipy.stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values).p_value == pytest.approx(flips.pvalue)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    found = estimate(values)
    assert (found.low, found.high) == (near(low, abs=1e-9), near(high, abs=1e-9))


@settings(deadline=None)
@given(numbers)
def test_what_holds_for_any_seeds(values: list[float]) -> None:
    flips = sign_flip(values)
    assert flips.smallest <= flips.p_value <= 1
    assert sign_flip([-value for value in values]).p_value == flips.p_value
    assert sign_flip(values[::-1]).p_value == flips.p_value
    found = estimate(values)
    assert found.low <= found.mean <= found.high
    if np.ptp(values) > 1e-3:  # the interval and the test are the same statement
        assert (student(values) < 0.05) == (found.low > 0 or found.high < 0)


# --- what docs/statistics.md says of few seeds ------------------------------------------------------


def test_the_table_of_few_seeds() -> None:
    page = (Path(__file__).parents[2] / "docs/statistics.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) s \| ([\d.]+) s \| ([\d.]+) s \|$", page, re.MULTILINE
    )
    assert len(rows) == 5
    for row in rows:
        n, smallest, reach, *effects = int(row[0]), *map(float, row[1:])
        assert smallest == pytest.approx(sign_flip([1.0] * n).smallest, rel=0.05)
        assert reach == pytest.approx(scipy.stats.t.ppf(0.975, n - 1) / math.sqrt(n), abs=0.005)
        for effect, level in zip(effects, (0.05, 0.05 / 9), strict=True):
            bound = scipy.stats.t.ppf(1 - level / 2, n - 1)
            power = scipy.stats.nct.sf(bound, n - 1, effect * math.sqrt(n))
            assert power == pytest.approx(0.8, abs=0.01)


def test_what_skewed_seeds_do_to_the_t_test() -> None:
    rng = np.random.default_rng(0)
    for expected, values in (
        ((0.117, 0.036), rng.exponential(size=(100_000, 5)) - 1),
        ((0.035, 0.002), rng.exponential(size=(100_000, 5)) - rng.exponential(size=(100_000, 5))),
    ):
        p = scipy.stats.ttest_1samp(values, 0, axis=1).pvalue
        assert ((p < 0.05).mean(), (p < 0.05 / 9).mean()) == pytest.approx(expected, abs=0.003)


# --- Holm -------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not be less than the one before.
    assert holm_corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_corrected([0.7, 0.6]) == [1.0, 1.0]
    assert holm_corrected([]) == []
    left, out = holm_corrected([0.02, math.nan])
    assert left == 0.02
    assert math.isnan(out)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_what_holds_for_any_correction(p_values: list[float]) -> None:
    corrected = holm_corrected(p_values)
    for p, c in zip(p_values, corrected, strict=True):
        assert p <= c <= min(1.0, len(p_values) * p)  # never more than Bonferroni's
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(corrected)[order]) >= 0)


@dataclass(frozen=True)
class Item:
    name: str
    p_value: float
    p_holm: float = math.nan


def test_holm_gives_back_the_items() -> None:
    assert holm([Item("a", 0.04), Item("b", 0.01)]) == [Item("a", 0.04, 0.04), Item("b", 0.01, 0.02)]


# --- tables -----------------------------------------------------------------------------------------


def test_estimates_are_in_percent_where_tables_are() -> None:
    results = grid(lambda a, s, seed: 0.8 + 0.01 * seed)
    results["train_loss"] = 2.0
    results["only_here"] = np.where(results["setting"] == "backdoor", 1.0, math.nan)
    table = estimates(results, study(), ["accuracy", "train_loss", "only_here", "nowhere"])
    assert list(table.columns) == ["alpha", "setting", "metric", "mean", "std", "low", "high", "n", "runs"]
    assert len(table) == 6 + 6 + 3
    first = table.iloc[0]
    assert (first["alpha"], first["setting"], first["metric"], first["n"]) == (
        1.0,
        "no attack",
        "accuracy",
        3,
    )
    assert (first["mean"], first["std"]) == (pytest.approx(81), pytest.approx(1))
    assert first["runs"] == ("1.0-no attack-0", "1.0-no attack-1", "1.0-no attack-2")
    assert set(table[table["metric"] == "train_loss"]["mean"]) == {2.0}
    assert estimates(pd.DataFrame(), study(), ["accuracy"]).empty


def test_the_interval_of_a_share_stays_between_0_and_100() -> None:
    """97, 99 and 100 %: Student's interval reaches to 102.5."""
    shares = {0: 0.97, 1: 0.99, 2: 1.0}
    for flip in (False, True):
        results = grid(lambda a, s, seed: 1 - shares[seed] if flip else shares[seed])  # noqa: B023
        results["train_loss"] = results["accuracy"]
        row = estimates(results, study(), ["accuracy"]).iloc[0]
        assert (row["low"], row["high"]) == (
            pytest.approx(0 if flip else 94.87, abs=0.01),
            pytest.approx(5.13 if flip else 100, abs=0.01),
        )
        summary = summary_table(results, study(), ["accuracy"]).iloc[0]
        assert (summary["accuracy low"], summary["accuracy high"]) == (row["low"], row["high"])
    assert estimates(results, study(), ["train_loss"]).iloc[0]["low"] < 0, (
        "a number that is no share may be anything"
    )


# --- differences ------------------------------------------------------------------------------------

COSTS = {0: 0.01, 1: 0.02, 2: 0.03}


def attacked(alpha: float, setting: str, seed: int) -> float:
    """The attack costs 1, 2 and 3 points with seeds 0, 1 and 2, whatever alpha is; alpha itself costs more."""
    return 0.9 - 0.1 * (1 - alpha) - 0.05 * seed - (COSTS[seed] if setting == "backdoor" else 0)


def test_paired_differences_by_hand() -> None:
    found = paired_differences(grid(attacked), study(), "accuracy", "setting", "no attack", "backdoor")
    assert [difference.where for difference in found] == [{"alpha": a} for a in ALPHAS]
    for difference in found:
        assert difference.effect == pytest.approx(-2)
        assert difference.low == pytest.approx(-2 - 4.302653 / math.sqrt(3), abs=1e-6)
        assert difference.exact_p == difference.smallest_p == 0.25
        assert difference.p_value == pytest.approx(student([1, 2, 3]))
        assert (difference.n, difference.unit, difference.left_out) == (3, "percentage points", ())
    assert found[2].runs == tuple(f"0.25-{s}-{seed}" for seed in (0, 1, 2) for s in SETTINGS)
    corrected = holm(found)
    assert corrected[0].p_holm == pytest.approx(3 * found[0].p_value)


def test_cells_of_one_seed_are_not_counted_as_independent() -> None:
    """Three alphas that say the same give the p-value of three seeds, not of nine."""
    results = grid(attacked)
    pooled = pooled_difference(results, study(), "accuracy", "setting", "no attack", "backdoor")
    (single,) = paired_differences(
        results, study(), "accuracy", "setting", "no attack", "backdoor", {"alpha": 1.0}
    )
    assert pooled is not None
    assert (pooled.n, pooled.where) == (3, {})
    assert pooled.p_value == pytest.approx(single.p_value)
    assert pooled.effect == pytest.approx(single.effect)
    assert len(pooled.runs) == 18


def test_pooling_averages_within_the_seed_first() -> None:
    # Seed 0: (0 + 0 + 6) / 3 = 2 points; seed 1: 4 points everywhere.
    by_seed = {0: {1.0: 0.0, 0.5: 0.0, 0.25: 0.06}, 1: dict.fromkeys(ALPHAS, 0.04)}
    results = grid(lambda a, s, seed: 0.5 + (by_seed[seed][a] if s == "backdoor" else 0), seeds=(0, 1))
    pooled = pooled_difference(results, study(), "accuracy", "setting", "no attack", "backdoor")
    assert pooled is not None
    assert pooled.effect == pytest.approx(3)
    assert pooled.high - pooled.low == pytest.approx(2 * 12.7062047 * math.sqrt(2) / math.sqrt(2), abs=1e-5)


def test_a_seed_without_its_half_is_left_out_and_said() -> None:
    def some(alpha: float, setting: str, seed: int) -> float | None:
        return None if (alpha, setting, seed) == (0.5, "backdoor", 1) else attacked(alpha, setting, seed)

    results = grid(some)
    first, second, third = paired_differences(
        results, study(), "accuracy", "setting", "no attack", "backdoor"
    )
    assert (first.n, second.n, third.n) == (3, 2, 3)
    assert (first.left_out, second.left_out) == ((), (1,))
    assert second.effect == pytest.approx(-2)
    assert not any("-1" in run[-2:] for run in second.runs)
    pooled = pooled_difference(results, study(), "accuracy", "setting", "no attack", "backdoor")
    assert pooled is not None
    assert (pooled.n, pooled.left_out) == (2, (1,))


def test_a_metric_that_is_nan_counts_as_missing() -> None:
    results = grid(lambda a, s, seed: math.nan if seed == 2 and s == "backdoor" else attacked(a, s, seed))
    pooled = pooled_difference(results, study(), "accuracy", "setting", "no attack", "backdoor")
    assert pooled is not None
    assert (pooled.n, pooled.left_out) == (2, (2,))
    assert pooled_difference(results, study(), "nothing", "setting", "no attack", "backdoor") is None
    assert paired_differences(pd.DataFrame(), study(), "accuracy", "setting", "no attack", "backdoor") == []


def test_one_seed_has_a_difference_and_no_interval() -> None:
    (difference, *_) = paired_differences(
        grid(attacked, seeds=(1,)), study(), "accuracy", "setting", "no attack", "backdoor"
    )
    assert difference.effect == pytest.approx(-2)
    assert difference.n == 1
    assert all(map(math.isnan, (difference.low, difference.high, difference.p_value)))
    assert difference.exact_p == difference.smallest_p == 1.0


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 1, 2, 3, 4)])
def test_differences_that_are_equal_on_paper_are_equal(seeds: tuple[int, ...]) -> None:
    """0.9 - 0.8 and 0.5 - 0.4 differ in the last bit, which is no spread."""
    results = grid(lambda a, s, seed: 0.9 - 0.1 * seed - (0.1 if s == "backdoor" else 0), seeds=seeds)
    pooled = pooled_difference(results, study(), "accuracy", "setting", "no attack", "backdoor")
    assert pooled is not None
    assert pooled.low == pooled.high == pooled.effect == pytest.approx(-10)
    assert pooled.p_value == pooled.exact_p == pooled.smallest_p


share = st.integers(0, 10_000).map(lambda count: count / 10_000)


@settings(deadline=None)
@given(st.lists(st.tuples(share, share), min_size=2, max_size=6))
def test_a_difference_turned_round_has_the_other_sign(pairs: list[tuple[float, float]]) -> None:
    plain = study(setting={"variants": {"a": {}, "b": {}}})
    rows = [
        {"setting": label, "seed": seed, "run": f"{label}{seed}", "accuracy": value}
        for seed, pair in enumerate(pairs)
        for label, value in zip("ab", pair, strict=True)
    ]
    forth = pooled_difference(pd.DataFrame(rows), plain, "accuracy", "setting", "a", "b")
    back = pooled_difference(pd.DataFrame(rows), plain, "accuracy", "setting", "b", "a")
    assert forth is not None
    assert back is not None
    assert back.effect == pytest.approx(-forth.effect, abs=1e-9)
    assert (back.low, back.high) == (
        near(-forth.high, abs=1e-9),
        near(-forth.low, abs=1e-9),
    )
    assert back.exact_p == forth.exact_p


# --- trends -----------------------------------------------------------------------------------------


def test_a_trend_over_alpha_is_per_halving() -> None:
    """Two halvings from 1 to 0.25; 1, 2 and 3 points lost in each."""
    results = grid(lambda a, s, seed: 0.9 + 0.02 * seed + 0.01 * (seed + 1) * math.log2(a))
    found = trend(results, study(), "accuracy", "alpha", {"setting": "no attack"})
    assert found is not None
    assert found.slope == pytest.approx(-2)
    assert found.unit == "percentage points per halving of alpha"
    assert (found.n, found.exact_p, found.smallest_p) == (3, 0.25, 0.25)
    assert found.p_value == pytest.approx(student([1, 2, 3]))
    assert found.runs == tuple(f"{a}-no attack-{seed}" for seed in (0, 1, 2) for a in ALPHAS)
    pooled = trend(results, study(), "accuracy", "alpha")
    assert pooled is not None
    assert pooled.p_value == pytest.approx(found.p_value)


def test_a_slope_is_that_of_least_squares() -> None:
    # Points at 0, 1, 2 halvings: 90, 80, 76; the slope is (76 - 90) / 2.
    values = {1.0: 0.9, 0.5: 0.8, 0.25: 0.76}
    found = trend(grid(lambda a, s, seed: values[a]), study(), "accuracy", "alpha")
    assert found is not None
    assert found.slope == pytest.approx(-7)


def test_a_seed_without_all_points_is_left_out() -> None:
    """Its slope would be one over other points."""
    results = grid(lambda a, s, seed: None if (a, seed) == (0.25, 2) else a * (1 + seed) / 4)
    found = trend(results, study(), "accuracy", "alpha", {"setting": "backdoor"})
    assert found is not None
    assert (found.n, found.left_out) == (2, (2,))


def test_a_point_that_few_seeds_have_does_not_cost_the_others() -> None:
    """A study that grows: alpha = 0.25 is done for one seed of five so far."""
    seeds = (0, 1, 2, 3, 4)
    results = grid(lambda a, s, seed: None if a == 0.25 and seed else a * (1 + seed) / 10, seeds)
    found = trend(results, study(), "accuracy", "alpha", {"setting": "backdoor"})
    assert found is not None
    assert (found.n, found.left_out, found.cells_left_out) == (5, (), ("alpha 0.25",))
    assert found.slope == pytest.approx(-100 * 0.05 * 3)
    assert not any(run.startswith("0.25") for run in found.runs)
    pooled = pooled_difference(results, study(), "accuracy", "setting", "no attack", "backdoor")
    assert pooled is not None
    assert (pooled.n, pooled.cells_left_out) == (5, ("alpha 0.25",))


def test_a_trend_takes_no_block_without_a_slope() -> None:
    """One alpha for all seeds and three for one: the larger block has no trend in it."""
    results = grid(lambda a, s, seed: None if a < 1 and seed else a / 10, seeds=(0, 1, 2, 3, 4))
    found = trend(results, study(), "accuracy", "alpha", {"setting": "backdoor"})
    assert found is not None
    assert (found.n, found.left_out) == (1, (1, 2, 3, 4))


def test_what_has_no_trend() -> None:
    results = grid(attacked)
    assert trend(results, study(), "accuracy", "setting") is None
    assert trend(results, study(), "accuracy", "unknown") is None
    assert trend(results, study(), "accuracy", "skew_total_variation") is None
    assert trend(results[results["alpha"] == 1.0], study(), "accuracy", "alpha") is None
    assert trend(pd.DataFrame(), study(), "accuracy", "alpha") is None


def test_a_constant_metric_has_a_slope_of_zero_and_nothing_to_show() -> None:
    found = trend(grid(lambda a, s, seed: 0.1 + 0.1 * seed), study(), "accuracy", "alpha")
    assert found is not None
    assert (found.slope, found.low, found.high) == (0, 0, 0)
    assert found.p_value == found.exact_p == 1


def test_a_trend_over_the_measured_skew() -> None:
    results = grid(lambda a, s, seed: 0.0)
    results["skew_total_variation"] = 0.2 / results["alpha"] + 0.01 * results["seed"]
    results["train_loss"] = 1 + 3 * results["skew_total_variation"]
    found = trend(results, study(), "train_loss", "skew_total_variation", {"setting": "no attack"})
    assert found is not None
    assert found.slope == pytest.approx(3)
    assert found.unit == "per unit of total variation"
    assert found.low == pytest.approx(3)


@pytest.mark.parametrize(
    ("name", "axis", "places", "step"),
    [
        ("alpha", {"field": "split.alpha", "values": [2.0, 1.0]}, {2.0: -1, 1.0: 0}, "halving of alpha"),
        ("skew", {"field": "split.alpha", "values": [4.0]}, {4.0: -2}, "halving of skew"),
        ("clients", {"field": "clients.count", "values": [8, 32]}, {8: 3, 32: 5}, "doubling of clients"),
        ("clients", {"field": "clients.count", "values": [8, 24]}, {8: 8, 24: 24}, "unit of clients"),
        ("noise", {"field": "x", "values": [0.0, 10.0]}, {0.0: 0, 10.0: 10}, "unit of noise"),
        ("rate", {"variants": {"0.5": {}, "2": {}}}, {"0.5": -1, "2": 1}, "doubling of rate"),
    ],
)
def test_scales(name: str, axis: dict[str, Any], places: dict[Any, float], step: str) -> None:
    found = scale_of(study(**{name: axis}), name)
    assert found is not None
    assert (found.places, found.step) == (places, step)


@pytest.mark.parametrize("values", [[True, False], ["a", "b"], ["nan", "1"]])
def test_axes_that_are_not_numeric(values: list[Any]) -> None:
    assert scale_of(study(x={"field": "f", "values": values}), "x") is None
