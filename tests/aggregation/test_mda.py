"""Minimum-diameter averaging: by hand, against a plain loop over all subsets, and where there are too many."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedskew
from fedskew.aggregation.mda import mda
from fedskew.aggregation.subsets import SUBSETS, largest_round
from fedskew.components.binding import complete_experiment
from fedskew.config import Experiment
from fedskew.errors import ConfigError
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def kept(deltas: object, f: int) -> list[int]:
    trace = mda(client_updates(deltas), VIEW, f=f)[1]  # type: ignore[arg-type]
    assert trace.client_weights is not None
    found: list[int] = trace.client_weights.nonzero().flatten().tolist()
    assert trace.client_weights[found].tolist() == pytest.approx([1 / len(found)] * len(found))
    return found


def test_by_hand() -> None:
    # Without 0 the diameter is 6, without 1 or 3 it is 7, without 7 it is 3.
    delta, _ = mda(client_updates([[0.0], [7], [1], [3]]), VIEW, f=1)
    assert delta.tolist() == [pytest.approx(4 / 3)]
    assert kept([[0.0], [7], [1], [3]], 1) == [0, 2, 3]


def test_of_equal_diameters_the_smaller_second_largest_distance_decides() -> None:
    # The last two are 6 apart, the first two 9: without either of these the diameter is 6. The next largest distance is
    # sqrt(25 + 9) with (-5, 0), and 5 with (4, 0).
    assert kept([[-5.0, 0], [4, 0], [0, 3], [0, -3]], 1) == [1, 2, 3]
    assert kept([[4.0, 0], [-5, 0], [0, 3], [0, -3]], 1) == [0, 2, 3]


def test_of_subsets_that_are_alike_the_first_one_is_taken() -> None:
    assert kept([[0.0], [1], [2]], 1) == [0, 1]
    assert kept(torch.zeros(5, 2), 2) == [0, 1, 2]


@PROPERTY
@given(delta_matrices(st.integers(1, 8)), st.data())
def test_it_agrees_with_a_plain_loop_over_all_subsets(deltas: np.ndarray, data: st.DataObject) -> None:
    count = len(deltas)
    f = data.draw(st.integers(0, (count - 1) // 2))
    rows = deltas.astype(np.float64)

    def distances(subset: tuple[int, ...]) -> list[float]:
        pairs = itertools.combinations(subset, 2)
        return sorted((float(((rows[i] - rows[j]) ** 2).sum()) for i, j in pairs), reverse=True)

    found = tuple(kept(deltas, f))
    assert len(found) == count - f
    best = min(distances(subset) for subset in itertools.combinations(range(count), count - f))
    assert distances(found)[:1] == pytest.approx(best[:1], rel=1e-12)
    if len({*distances(tuple(range(count)))}) == math.comb(count, 2):
        assert distances(found) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("f", range(1, 12))
def test_the_largest_round_is_the_last_with_few_enough_subsets(f: int) -> None:
    most = int(largest_round(f))
    assert math.comb(most, f) <= SUBSETS < math.comb(most + 1, f)


def test_more_subsets_than_it_looks_at_are_refused_by_the_rule_and_when_the_config_is_read() -> None:
    def read(clients: int, f: int) -> None:
        defence = {"aggregator": {"name": "mda", "f": f}}
        complete_experiment(Experiment.model_validate({"clients": {"count": clients}, "defence": defence}))

    read(48, 4)
    read(500, 0)
    with pytest.raises(
        ConfigError,
        match=r"'mda' with f = 4 works on at most 48 updates in a round, and there are 49: it looks at every way",
    ):
        read(49, 4)
    with pytest.raises(ConfigError, match="f = 10 works on at most 20 updates in a round, and there are 21"):
        read(21, 10)
    with pytest.raises(
        ConfigError, match=r"f = 4 would look at 211,876 subsets of 49 updates; it looks at no"
    ):
        fedskew.aggregate("mda", [[float(k)] for k in range(49)], f=4)


def test_as_many_subsets_as_it_looks_at_take_no_long_time() -> None:
    deltas = np.random.default_rng(0).standard_normal((20, 50))
    deltas[:9] += 1e3 * np.arange(1, 10)[:, None]
    assert kept(deltas, 9) == list(range(9, 20))
