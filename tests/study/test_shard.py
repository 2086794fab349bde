"""Parts of a study: together they are all of it, no run is in two, and each has its share of every cell."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.config.build import build
from fedskew.errors import ConfigError
from fedskew.study.grid import PlannedRun, Study, planned_runs
from fedskew.study.shard import Shard


def runs(alphas: int, seeds: int, **more: Any) -> list[PlannedRun]:
    axes = {"alpha": {"field": "split.alpha", "values": [0.5 + number for number in range(alphas)]}, **more}
    base = {"rounds": 2, "split": {"name": "dirichlet", "alpha": 1.0}}
    return planned_runs(build(Study, {"name": "s", "seeds": list(range(seeds)), "base": base, "axes": axes}))


GRIDS = {(alphas, seeds): runs(alphas, seeds) for alphas in (1, 2, 3) for seeds in (1, 2, 5)}


@given(st.sampled_from(sorted(GRIDS)), st.integers(1, 20))
def test_disjoint_complete_and_balanced(size: tuple[int, int], of: int) -> None:
    planned = GRIDS[size]
    parts = [Shard(number, of).part_of(planned) for number in range(1, of + 1)]
    assert Counter(run.identity for part in parts for run in part) == Counter(run.identity for run in planned)
    counts = [len(part) for part in parts]
    assert max(counts) - min(counts) <= 1
    for cell in {str(run.cell) for run in planned}:
        shares = [sum(str(run.cell) == cell for run in part) for part in parts]
        assert max(shares) - min(shares) <= 1
    for part in parts:
        places = [planned.index(run) for run in part]
        assert places == sorted(places), "in the order of the study"


@given(st.integers(1, 9))
def test_runs_that_share_rounds_or_are_the_same_stay_together(of: int) -> None:
    more = {"length": {"variants": {"few": {"rounds": 2}, "again": {"rounds": 2}, "many": {"rounds": 4}}}}
    planned = runs(2, 3, **more)
    parts = [Shard(number, of).part_of(planned) for number in range(1, of + 1)]
    assert sum(map(len, parts)) == len(planned)
    where = [{run.completed.rounds_identity for run in part} for part in parts]
    assert sum(map(len, where)) == len(set().union(*where)) == 6


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3/4", "", "1/" + "9" * 10, "²/3"]
)
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ConfigError, match="expected NUMBER/OF"):
        Shard.read(text)


def test_what_is_one() -> None:
    assert Shard.read(" 3/20 ") == Shard(3, 20)
