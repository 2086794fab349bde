"""The majority vote on signs."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation.sign_majority import sign_majority
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def test_by_hand() -> None:
    # Votes: + + -, - + 0, 0 0 0, - - -
    rows = client_updates([[1.0, -1, 0, -1], [9, 5, -0.0, -1e-30], [-50, 0, 0, -2]])
    found = sign_majority(rows, VIEW, step=0.25)
    assert found.tolist() == [0.25, 0, 0, -0.25]
    assert not found[1:3].signbit().any()


@PROPERTY
@given(delta_matrices(), st.sampled_from([1e-3, 1.0]))
def test_it_agrees_with_a_plain_loop_and_only_signs_matter(deltas: np.ndarray, step: float) -> None:
    expected = []
    for column in deltas.T.tolist():
        balance = sum(x > 0 for x in column) - sum(x < 0 for x in column)
        expected.append(step if balance > 0 else -step if balance < 0 else 0.0)
    found = sign_majority(client_updates(deltas), VIEW, step=step)
    assert torch.allclose(found, torch.tensor(expected))
    scaled = deltas * np.float32(4) ** np.arange(len(deltas), dtype=np.float32)[:, None]
    assert torch.equal(sign_majority(client_updates(scaled), VIEW, step=step), found)
    assert torch.equal(sign_majority(client_updates(-deltas), VIEW, step=step), -found)


def test_f_rows_change_nothing_where_the_others_agree_by_more_than_f_votes() -> None:
    honest = torch.randn(9, 500, generator=torch.Generator().manual_seed(0))
    alone = sign_majority(client_updates(honest), VIEW, step=1.0)
    safe = honest.sign().sum(dim=0).abs() > 2
    for value in (1e6, -1e6):
        everyone = torch.cat([honest, torch.full((2, 500), value)])
        found = sign_majority(client_updates(everyone), VIEW, step=1.0)
        assert torch.equal(found[safe], alone[safe])
    assert 0 < int(safe.sum()) < 500
