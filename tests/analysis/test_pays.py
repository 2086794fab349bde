"""Who pays for a defence: how honest clients are treated, by how unusual they are, and what it costs. By hand, and what
always holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedskew
from fedskew.analysis.pays.cost import Costs, defence_costs
from fedskew.analysis.pays.treatment import Treated, TreatedRun, treated
from fedskew.analysis.pays.unusual import everybody, in_bins, slope
from fedskew.partition.heterogeneity import distances, heterogeneity
from fedskew.study.grid import Study, planned_runs
from helpers import near

# --- one run ----------------------------------------------------------------------------------------

COUNTS = np.array([[10, 0], [0, 10], [5, 5], [100, 0], [0, 0]])
"""Clients 0 to 2 together have as many images of either class; 3 is an adversary and 4 has no data."""


def test_how_each_honest_client_was_treated() -> None:
    # Of three in the first round; in the second only 0 and 2 took part. In equal weights: 1.5, 0, 1.5; 1.6, 0.4.
    rounds = [{0: 0.5, 1: 0.0, 2: 0.5, 3: 0.0}, {0: 0.8, 2: 0.2}]
    found = treated([{k: w for k, w in one.items() if k != 3} for one in rounds], COUNTS, malicious=[3])
    assert found == (
        Treated(0, 0.5, 2, 0.0, 0.0, near(1.55)),
        Treated(1, 0.5, 1, 1.0, 1.0, 0.0),
        Treated(2, 0.0, 2, 0.0, 0.5, near(0.95)),
    )
    # The adversary is one of those whose equal weight is 1/S, and nothing else.
    (first, *_) = treated(rounds[:1], COUNTS, malicious=[3])
    assert first == Treated(0, 0.5, 1, 0.0, 0.0, 2.0)


def test_of_a_run_without_weights_or_honest_data_nothing_is_said() -> None:
    assert treated([], COUNTS, malicious=()) == ()
    assert treated([{3: 1.0}], COUNTS, malicious=[3]) == ()
    assert treated([{4: 1.0}], COUNTS, malicious=[0, 1, 2, 3]) == ()
    assert treated([{0: 1.0, 9: 1.0}], COUNTS, malicious=range(1, 5))[0].client == 0, "9 has no row"


def test_everybody_is_rejected_where_nobody_has_a_weight() -> None:
    assert [one.rejected for one in treated([{0: 0.0, 1: 0.0}], COUNTS, ())] == [1.0, 1.0]


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=8).filter(
        lambda rows: any(map(any, rows))
    )
)
def test_the_mean_unusualness_is_the_skew_of_the_run(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    assert np.nanmean(distances(counts)) == pytest.approx(heterogeneity(counts).total_variation, abs=1e-15)
    assert np.isnan(distances(counts)).tolist() == [not any(row) for row in rows]
    known = distances(counts)[counts.any(axis=1)]
    assert ((known >= 0) & (known < 1)).all()


# --- over seeds -------------------------------------------------------------------------------------


def run(seed: int, *clients: tuple[float, float], name: str = "") -> TreatedRun:
    """A run by (unusualness, rate) of its clients."""
    return TreatedRun(
        name or f"run {seed}",
        seed,
        tuple(Treated(k, u, 10, rate / 2, rate, 2 * (1 - rate)) for k, (u, rate) in enumerate(clients)),
    )


def test_bins_by_hand() -> None:
    runs = [
        run(0, (0.12, 0.2), (0.18, 0.4), (0.85, 1.0)),  # the first bin of seed 0: 30 %
        run(1, (0.1, 0.4), (0.3, 0.0), (0.81, 0.8)),  # 0.1 and 0.3 lie in the bins that they begin
        run(2, (0.19, 0.5), (0.21, 0.9), (0.999, 1.0)),
    ]
    (found,) = in_bins(runs)
    assert (found.low, found.high, found.clients) == (0.1, 0.2, 4)
    # Each seed counts once, however many clients it has there: 30, 40 and 50 %; t of 2 degrees is 4.303.
    rate = found.down_weighted
    assert (rate.mean, rate.std, rate.n) == (near(40), near(10), 3)
    assert (rate.low, rate.high) == pytest.approx((40 - 24.84, 40 + 24.84), abs=0.01)
    assert found.rejected.mean == pytest.approx(20)
    assert found.weight.mean == pytest.approx(2 * 0.6)
    # Two seeds are too few for the bin from 0.8 to 0.9; a third is enough.
    assert [one.low for one in in_bins([*runs, run(3, (0.89, 0.0))])] == [0.1, 0.8]


def test_a_rate_cannot_be_above_100_percent() -> None:
    (found,) = in_bins([run(seed, (0.5, rate)) for seed, rate in enumerate((1.0, 1.0, 0.7))])
    assert found.down_weighted.high == 100


def test_the_rate_of_all_honest_clients() -> None:
    found = everybody([run(0, (0.1, 0.0), (0.2, 0.5)), run(1, (0.9, 1.0))])
    assert (found.down_weighted.mean, found.down_weighted.n, found.clients) == (near(62.5), 2, 3)
    assert everybody([]).down_weighted.n == 0


def test_a_slope_by_hand() -> None:
    # Per 0.1 of total variation: 25, 10 and 10 percentage points; mean 15, s = 8.66, half width 4.303 s / sqrt(3).
    runs = [
        run(0, (0.1, 0.0), (0.3, 0.5), (0.5, 1.0)),
        run(1, (0.2, 0.1), (0.4, 0.3)),
        run(2, (0.2, 0.1), (0.4, 0.3)),
    ]
    found = slope(runs)
    assert found is not None
    assert (found.effect, found.n, found.runs) == (near(15), 3, ("run 0", "run 1", "run 2"))
    assert found.high - found.effect == pytest.approx(4.3027 * math.sqrt(75) / math.sqrt(3), rel=1e-4)
    assert found.exact_p == 0.25


def test_a_slope_is_formed_within_runs() -> None:
    """All clients of the uneven run are rejected more often, and in neither run the more unusual ones."""
    even = [run(seed, (0.1, 0.0), (0.2, 0.0), name=f"even {seed}") for seed in range(3)]
    uneven = [run(seed, (0.7, 1.0), (0.9, 1.0), name=f"uneven {seed}") for seed in range(3)]
    found = slope([*even, *uneven])
    assert found is not None
    assert (found.effect, found.low, found.high, found.n, len(found.runs)) == (0, 0, 0, 3, 6)


def test_where_clients_do_not_differ_there_is_no_slope() -> None:
    assert slope([run(0, (0.1, 0.0), (0.1, 1.0)), run(1, (0.3, 0.5))]) is None
    assert slope([]) is None


clients = st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 1)), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.integers(0, 3), clients), max_size=8), st.randoms())
def test_what_holds_for_any_clients(rows: list[tuple[int, list[Any]]], random: Any) -> None:
    runs = [run(seed, *some, name=str(number)) for number, (seed, some) in enumerate(rows)]
    found = in_bins(runs)
    assert sum(one.clients for one in found) <= everybody(runs).clients == sum(map(len, (r for _, r in rows)))
    for one in found:
        rate = one.down_weighted
        assert 3 <= rate.n <= len({seed for seed, _ in rows})
        assert -1e-9 <= rate.low <= rate.mean + 1e-9
        assert rate.mean <= rate.high + 1e-9 <= 100 + 2e-9
    shuffled = list(runs)
    random.shuffle(shuffled)
    assert in_bins(shuffled) == found


@given(st.lists(clients.filter(lambda some: np.ptp([u for u, _ in some]) > 0.01), min_size=3, max_size=5))
def test_what_holds_for_any_slope(rows: list[list[tuple[float, float]]]) -> None:
    runs = [run(seed, *some) for seed, some in enumerate(rows)]
    turned = [run(seed, *((u, 1 - rate) for u, rate in some)) for seed, some in enumerate(rows)]
    plain = [np.polyfit([10 * u for u, _ in some], [100 * rate for _, rate in some], 1)[0] for some in rows]
    first, second = slope(runs), slope(turned)
    assert first is not None
    assert second is not None
    assert first.effect == pytest.approx(np.mean(plain), rel=1e-6, abs=1e-6)
    assert second.effect == pytest.approx(-first.effect, rel=1e-6, abs=1e-6)


# --- costs ------------------------------------------------------------------------------------------

KRUM = {"defence.aggregator": {"name": "krum", "f": 1}}
RLR = {"defence.learning_rate": {"name": "rlr", "theta": 4}}
CLIP = {"defence.transforms": [{"name": "clip", "norm": 1.0}]}
SETTINGS = {
    "quiet": {"adversaries.count": 0},
    "quiet, Krum": {"adversaries.count": 0} | KRUM,
    "defence": {},  # a name that says the opposite of what it is
    "none": KRUM,
}


def costs(settings: dict[str, Any], accuracies: dict[str, list[float | None]], **base: Any) -> Costs:
    """The costs of settings with these accuracies of seeds 0, 1, ..."""
    many = max(1, *map(len, accuracies.values()))
    study = Study.model_validate(
        {
            "name": "made-up",
            "seeds": list(range(many)),
            "base": {"adversaries": {"count": 1}, "attack": "sign-flip"} | base,
            "axes": {"setting": {"variants": settings}},
        }
    )
    planned = planned_runs(study)
    rows = [
        {
            **plan.cell,
            "seed": plan.seed,
            "run": plan.identity,
            "accuracy": accuracies[plan.cell["setting"]][plan.seed],
        }
        for plan in planned
        if plan.seed < len(accuracies.get(plan.cell["setting"], []))
    ]
    return defence_costs(pd.DataFrame(rows), study, planned, ["accuracy", "client_accuracy_worst_tenth"])


def test_costs_by_hand() -> None:
    accuracies: dict[str, list[float | None]] = {
        "quiet": [0.9, 0.9, 0.9],
        "quiet, Krum": [0.89, 0.88, 0.87],
        "defence": [0.5, 0.5, 0.5],
        "none": [0.6, 0.7],  # its third run is missing
    }
    found = costs(SETTINGS, accuracies)
    assert found.alone == ()
    quiet, attacked = found.found  # nobody measured the worst tenth
    assert (quiet.where, quiet.attack, quiet.metric) == ({"setting": "quiet, Krum"}, "", "accuracy")
    # -1, -2 and -3 points, as in docs/statistics.md.
    assert (quiet.effect, quiet.low, quiet.high) == pytest.approx((-2, -4.484, 0.484), abs=1e-3)
    assert (quiet.p_value, quiet.exact_p, quiet.n) == (near(0.0742, abs=1e-4), 0.25, 3)
    assert len(quiet.runs) == 6
    assert (attacked.where, attacked.attack) == ({"setting": "none"}, "sign-flip")
    assert (attacked.effect, attacked.n, len(attacked.runs)) == (near(15), 2, 4)
    assert math.isnan(attacked.p_value)


def test_a_defence_without_such_a_run_is_named_and_a_metric_that_one_half_lacks_is_missing() -> None:
    found = costs({"a": KRUM | {"rounds": 3}, "b": {}}, {"a": [0.5], "b": [0.6]})
    assert found == Costs((), ({"setting": "a"},))
    found = costs({"a": KRUM, "b": {}}, {"a": [0.5, 0.6, None], "b": [None, 0.7, 0.7]})
    assert [(one.effect, one.n) for one in found.found] == [(near(-10), 1)]
    assert found.alone == ()
    assert costs({"a": KRUM, "b": {}}, {"a": []}) == Costs((), ())


@fedskew.facts(defends=False)
def my_mean(updates: Any, view: Any) -> Any:
    """An average of one's own."""


def test_what_defends_is_known_from_facts() -> None:
    """What does not defend stays in the run that a defence is compared with; any average will do for one that does."""
    settings = {"plain": {}, "clip": CLIP, "RLR": RLR, "both": CLIP | RLR, "Krum": KRUM}
    numbers: dict[str, list[float | None]] = {name: [0.5, 0.6] for name in settings}
    for average in ("fedavg", "mean"):
        found = costs(settings, numbers, defence={"aggregator": average})
        assert [one.where["setting"] for one in found.found] == ["clip", "RLR", "both", "Krum"]
        assert {(one.effect, one.low, one.high) for one in found.found} == {(0, 0, 0)}
    mine = {"aggregator": f"{__name__}:my_mean"}
    assert costs({"mine": {"defence": mine}}, {"mine": [0.5]}) == Costs((), ())
    both = {
        "mine": {"defence": mine},
        "RLR": {"defence": mine | {"learning_rate": RLR["defence.learning_rate"]}},
    }
    assert [one.where["setting"] for one in costs(both, {"mine": [0.5], "RLR": [0.5]}).found] == ["RLR"]
