"""The attack of Fang et al. on trimmed mean: in which interval each entry lies."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attack_helpers import crafted, view
from fedskew import craft
from fedskew.attacks.fang_trim import fang_trim
from fedskew.errors import ConfigError
from helpers import PROPERTY, delta_matrices, toy_info

INFO = toy_info()


@PROPERTY
@given(delta_matrices(), st.sampled_from([1.5, 2.0, 10.0]), st.integers(0, 100))
def test_every_entry_lies_beyond_the_honest_ones_on_the_harmful_side(
    deltas: np.ndarray, b: float, seed: int
) -> None:
    honest = torch.from_numpy(deltas)
    seen = view(torch.zeros(deltas.shape[1]), 3, others=honest)
    found = crafted(fang_trim(INFO, b=b), honest[:1].repeat(3, 1), seen, seed).deltas.double().numpy()
    for j, column in enumerate(deltas.astype(np.float64).T):
        mean, least, greatest = float(np.float32(statistics.fmean(column))), column.min(), column.max()
        if mean > 0:
            low, high = (least / b if least > 0 else b * least), least
        elif mean < 0:
            low, high = greatest, (b * greatest if greatest > 0 else greatest / b)
        else:
            low = high = 0.0
        slack = 1e-6 * max(abs(low), abs(high))
        assert (found[:, j] >= low - slack).all()
        assert (found[:, j] <= high + slack).all()


def test_the_papers_four_cases_and_that_draws_fill_the_interval() -> None:
    # mean > 0 with a positive and a negative least value, mean < 0 with a positive and a negative greatest one
    honest = torch.tensor([[2.0, -2.0, 2.0, -2.0], [4.0, 8.0, -8.0, -4.0]])
    columns = torch.cat([honest] * 500, dim=1)
    rows = craft("fang-trim", columns, adversaries=2)
    assert not torch.equal(rows[0], rows[1])
    for case, (low, high) in enumerate([(1, 2), (-4, -2), (2, 4), (-2, -1)]):
        values = rows[:, case::4].flatten()
        assert low <= float(values.min()) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < float(values.max()) <= high


def test_with_partial_knowledge_it_is_three_to_four_deviations_away() -> None:
    own = torch.tensor([[1.0, -1.0, 0.0, 5.0], [3.0, -3.0, 0.0, 5.0]])
    attack = fang_trim(INFO, threat_model="own-updates")
    assert (attack.threat_model, fang_trim(INFO).threat_model) == ("own-updates", "all-updates")
    found = crafted(attack, own, view(torch.zeros(4), 2)).deltas
    deviation = 2**0.5
    assert ((2 - 4 * deviation <= found[:, 0]) & (found[:, 0] <= 2 - 3 * deviation)).all()
    assert ((-2 + 3 * deviation <= found[:, 1]) & (found[:, 1] <= -2 + 4 * deviation)).all()
    assert found[:, 2:].tolist() == [[0, 5]] * 2


def test_entries_that_all_clients_leave_alone_stay() -> None:
    assert craft("fang-trim", [[0.0, 1.0], [0.0, 1.0]])[0, 0] == 0


@pytest.mark.parametrize("b", [1.0, 0.5, float("inf")])
def test_an_interval_goes_somewhere(b: float) -> None:
    with pytest.raises(ConfigError, match="b = "):
        craft("fang-trim", [[1.0]], b=b)
