"""Nearest-neighbour mixing: by hand, against a plain loop, and what becomes of ids and numbers of examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation import matrix as matrix_module
from fedskew.aggregation.nnm import nnm
from fedskew.protocols import ClientUpdates
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def mixed(updates: ClientUpdates, f: int) -> ClientUpdates:
    return nnm(updates, VIEW, np.random.default_rng(0), f=f)


def test_by_hand() -> None:
    # The three nearest of 0, 1 and 3 are these; of 90 they are 90, 3 and 1.
    found = mixed(client_updates([[0.0], [90], [1], [3]], [1, 2, 4, 8]), 1)
    assert found.deltas.flatten().tolist() == pytest.approx([4 / 3, 94 / 3, 4 / 3, 4 / 3])
    assert found.num_examples.tolist() == [13, 14, 13, 13]
    assert found.client_ids.tolist() == [-1] * 4


def test_of_two_that_are_equally_near_the_first_is_taken() -> None:
    assert mixed(client_updates([[0.0], [-1], [1]]), 1).deltas.flatten().tolist() == [-0.5, -0.5, 0.5]


def test_the_only_client_is_still_itself() -> None:
    updates = client_updates([[1.0, 2]], [5])
    assert mixed(updates, 0) is updates


def test_what_clients_send_beside_their_update_is_left_behind() -> None:
    two = torch.ones(2)
    updates = ClientUpdates(
        torch.ones(2, 3), torch.tensor([1, 2]), torch.tensor([0, 1]), two, two, {"c": two}
    )
    found = mixed(updates, 0)
    assert (found.steps, found.losses, dict(found.uploads)) == (None, None, {})
    assert set(updates.uploads) == {"c"}


@PROPERTY
@given(delta_matrices(), st.integers(1, 40), st.data())
def test_it_agrees_with_a_plain_loop(deltas: np.ndarray, entries: int, data: st.DataObject) -> None:
    count = len(deltas)
    f = data.draw(st.integers(0, (count - 1) // 2))
    rows = deltas.astype(np.float64)
    sizes = [2**k for k in range(count)]  # a sum of these says which they are
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "ENTRIES", entries)
        found = mixed(client_updates(deltas, sizes), f)
    for i in range(count):
        taken = [k for k in range(count) if int(found.num_examples[i]) >> k & 1]
        assert len(taken) == count - f
        assert i in taken or f == 0 or any((rows[i] == rows[k]).all() for k in taken)
        apart = [float(((rows[i] - row) ** 2).sum()) for row in rows]
        others = [apart[k] for k in range(count) if k not in taken]
        assert max(apart[k] for k in taken) <= min([*others, np.inf]) * (1 + 1e-12)
        scale = float(np.abs(deltas).max())
        assert found.deltas[i].numpy() == pytest.approx(
            rows[taken].mean(0), rel=1e-6, abs=1e-12 * scale + 1e-40
        )
