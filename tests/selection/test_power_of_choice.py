"""Power of choice: who is a candidate, and which of them are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.errors import ConfigError
from fedskew.protocols import SelectionView
from fedskew.selection.power_of_choice import power_of_choice
from helpers import PROPERTY


def view(
    sizes: Sequence[int], losses: Sequence[float], size: int, asked: list[int] | None = None
) -> SelectionView:
    def report(ids: Sequence[int]) -> Any:
        if asked is not None:
            asked.extend(ids)
        return np.array(losses)[np.array(ids)]

    return SelectionView(1, len(sizes), size, np.array(sizes), report)


def chosen(seen: SelectionView, candidates: int, seed: int = 0) -> list[int]:
    found: list[int] = power_of_choice(seen, np.random.default_rng(seed), candidates=candidates).tolist()
    return found


def test_all_clients_as_candidates_gives_the_highest_losses_of_all() -> None:
    assert chosen(view([1, 1, 1, 1], [0.3, 0.9, 0.1, 0.7], 2), 4) == [1, 3]


def test_of_equal_losses_the_lower_id_comes_first() -> None:
    assert chosen(view([1] * 5, [0.5, 0.9, 0.5, 0.5, 0.9], 3), 5) == [0, 1, 4]


def test_only_candidates_are_asked_for_their_loss_and_taken() -> None:
    for seed in range(20):
        asked: list[int] = []
        taken = chosen(view([3] * 9, np.arange(9.0).tolist(), 2, asked), 4, seed)
        assert len(asked) == len(set(asked)) == 4
        assert taken == sorted(asked)[-2:]  # the loss rises with the id


def test_as_many_candidates_as_there_are_places_is_a_draw_by_size() -> None:
    counts = Counter(chosen(view([1, 3], [9.0, 0.0], 1), 1, seed)[0] for seed in range(2000))
    # 500 of 2,000 expected for client 0, with a standard deviation of 19
    assert 400 < counts[0] < 600


def test_clients_without_data_are_never_candidates() -> None:
    for seed in range(50):
        assert 1 not in chosen(view([1, 0, 5, 2], [0, 9, 0, 0], 2), 2, seed)
    assert chosen(view([1, 0, 5, 2], [0, float("nan"), 2, 3], 2), 4) == [2, 3]


def test_fewer_clients_with_data_than_places() -> None:
    assert chosen(view([0, 4, 0, 0], [0, 1, 0, 0], 2), 3) == [1]


@pytest.mark.parametrize("candidates", [1, 5])
def test_too_few_or_too_many_candidates_are_refused(candidates: int) -> None:
    with pytest.raises(
        ConfigError, match=f"candidates = {candidates} must be at least the 2 clients of a round"
    ):
        chosen(view([1] * 4, [1.0] * 4, 2), candidates)


@PROPERTY
@given(st.lists(st.integers(0, 5), min_size=2, max_size=12), st.data())
def test_the_cohort_is_distinct_and_as_large_as_it_can_be(sizes: list[int], data: st.DataObject) -> None:
    sizes[0] = max(1, sizes[0])
    size = data.draw(st.integers(1, len(sizes)))
    candidates = data.draw(st.integers(size, len(sizes)))
    losses = data.draw(st.lists(st.floats(0, 9), min_size=len(sizes), max_size=len(sizes)))
    taken = chosen(view(sizes, losses, size), candidates, data.draw(st.integers(0, 99)))
    assert taken == sorted(set(taken))
    assert all(sizes[k] for k in taken)
    assert len(taken) == min(size, sum(n > 0 for n in sizes))
