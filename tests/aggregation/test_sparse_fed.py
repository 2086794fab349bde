"""SparseFed: which entries are applied, and what becomes of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation.mean import mean
from fedskew.aggregation.sparse_fed import sparse_fed
from fedskew.protocols import State
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def rounds(matrices: list[object], share: float) -> tuple[list[Tensor], State]:
    rule, found = sparse_fed(share=share), []
    state = rule.init()
    for matrix in matrices:
        delta, _, state = rule.apply(client_updates(matrix), VIEW, state)  # type: ignore[arg-type]
        found.append(delta)
    return found, state


def test_what_is_not_applied_is_added_in_the_next_round() -> None:
    # Means (4, 3, 0), then (1, 2, 0): one entry of 4 3 0, then one of 1 5 0; 1 is left over.
    found, state = rounds([[[4.0, 3, 1], [4, 3, -1]], [[1.0, 2, 0]]], 1 / 3)
    assert [delta.tolist() for delta in found] == [[4, 0, 0], [0, 5, 0]]
    assert state["error"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("share", "applied"), [(1e-9, 1), (0.29, 29), (0.295, 29), (0.99, 99), (1.0, 100)])
def test_the_share_is_rounded_down_but_at_least_one_entry_is_applied(share: float, applied: int) -> None:
    found, _ = rounds([1 + np.random.default_rng(0).random((3, 100))], share)
    assert int((found[0] != 0).sum()) == applied


def test_of_equal_entries_the_first_ones_are_applied() -> None:
    found, _ = rounds([[[-2.0, 1, 2, 2, -2, 3]]], 0.5)
    assert found[0].tolist() == [-2, 0, 2, 0, 0, 3]


@PROPERTY
@given(delta_matrices(), st.floats(0.05, 1), st.integers(0, 100))
def test_it_agrees_with_a_plain_loop_and_loses_nothing(deltas: np.ndarray, share: float, seed: int) -> None:
    other = np.random.default_rng(seed).standard_normal(deltas.shape).astype(np.float32)
    found, state = rounds([deltas, other], share)
    pending = torch.zeros(deltas.shape[1])
    for matrix, delta in zip((deltas, other), found, strict=True):
        pending = pending + mean(client_updates(matrix), VIEW)
        order = sorted(range(len(pending)), key=lambda p: (-abs(float(pending[p])), p))
        expected = torch.zeros_like(pending)
        for p in order[: max(1, int(share * len(pending) + 1e-9))]:
            expected[p] = pending[p]
        assert torch.equal(delta, expected)
        pending = pending - expected
    assert torch.equal(state["error"], pending)
