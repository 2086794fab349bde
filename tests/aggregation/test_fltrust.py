"""FLTrust: by hand, and where there is nobody to trust."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedskew.aggregation.fltrust import fltrust
from fedskew.errors import ConfigError
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def trusting(deltas: object, root: object) -> tuple[Tensor, list[float]]:
    view = replace(VIEW, root_update=torch.as_tensor(root, dtype=torch.float32))
    rule = fltrust()
    delta, trace, state = rule.apply(client_updates(deltas), view, rule.init())  # type: ignore[arg-type]
    assert state == {}
    assert trace.client_weights is not None
    return delta, trace.client_weights.tolist()


def test_by_hand() -> None:
    # Root (2, 0). Cosines 1, 0.6, -1; rows as long as the root: (2, 0), (1.2, 1.6); (1 * 2 + 0.6 * 1.2) / 1.6 = 1.7.
    delta, weights = trusting([[5.0, 0], [3, 4], [-9, 0]], [2.0, 0])
    assert delta.tolist() == pytest.approx([1.7, 0.6])
    assert weights == pytest.approx([1 / 1.6, 0.6 / 1.6, 0])


@pytest.mark.parametrize(
    ("deltas", "root"),
    [([[-1.0, 0], [0, 2]], [1.0, 0]), ([[0.0, 0], [0, 0]], [1.0, 0]), ([[1.0, 0], [0, 2]], [0.0, 0])],
    ids=["opposed or orthogonal", "zero updates", "zero root update"],
)
def test_where_nobody_is_trusted_the_model_stays_as_it_is(deltas: object, root: object) -> None:
    delta, weights = trusting(deltas, root)
    assert delta.tolist() == [0, 0]
    assert weights == [0, 0]


def test_how_long_an_update_is_does_not_matter() -> None:
    short, _ = trusting([[1.0, 1], [1, 0]], [1.0, 0.5])
    long, _ = trusting([[1e6, 1e6], [1, 0]], [1.0, 0.5])
    assert torch.allclose(short, long)


@PROPERTY
@given(delta_matrices(), st.data())
def test_it_agrees_with_a_plain_loop_and_is_no_longer_than_the_root(
    deltas: np.ndarray, data: st.DataObject
) -> None:
    numbers = st.floats(-10, 10, width=32, allow_subnormal=False)
    root = np.array(data.draw(st.lists(numbers, min_size=deltas.shape[1], max_size=deltas.shape[1])))
    length, total, expected = float(np.linalg.norm(root)), 0.0, np.zeros(len(root))
    for row in deltas.astype(np.float64):
        norm = float(np.linalg.norm(row))
        trust = max(0.0, float(row @ root) / (norm * length)) if norm * length > 0 else 0.0
        total += trust
        expected += trust * length / norm * row if trust else 0.0
    found, weights = trusting(deltas, root)
    assert found.numpy() == pytest.approx(
        expected / total if total else expected, rel=1e-4, abs=1e-5 * (1 + length)
    )
    assert sum(weights) == pytest.approx(1 if total else 0)
    assert float(found.norm()) <= length * (1 + 1e-5)


def test_it_asks_for_the_servers_own_images() -> None:
    assert fltrust().server_data == 100
    assert fltrust(images=7).server_data == 7
    with pytest.raises(ConfigError, match="'fltrust' needs a root update"):
        fltrust().apply(client_updates([[1.0]]), VIEW, {})
