"""Clipping at a length that the round's updates give: the median one, and adaptive robust clipping (ARC)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import fedskew
from fedskew.aggregation.arc import arc
from fedskew.aggregation.matrix import row_norms
from fedskew.aggregation.transforms import clip
from fedskew.errors import ConfigError
from helpers import PROPERTY, VIEW, client_updates, delta_matrices

RNG = np.random.default_rng(0)


def at_the_median(deltas: object) -> Tensor:
    return clip(client_updates(deltas), VIEW, RNG, norm="median").deltas  # type: ignore[arg-type]


def adaptive(deltas: object, f: int) -> Tensor:
    return arc(client_updates(deltas), VIEW, RNG, f=f).deltas  # type: ignore[arg-type]


def test_the_median_length_by_hand() -> None:
    # Lengths 5, 2, 1: the median is 2. Lengths 10, 5, 2, 1: it is 3.5.
    assert torch.allclose(
        at_the_median([[3.0, 4], [2, 0], [1, 0]]), torch.tensor([[1.2, 1.6], [2, 0], [1, 0]])
    )
    found = at_the_median([[6.0, 8], [3, 4], [2, 0], [1, 0]])
    assert torch.allclose(found, torch.tensor([[2.1, 2.8], [2.1, 2.8], [2, 0], [1, 0]]))


@PROPERTY
@given(delta_matrices())
def test_the_median_length_is_that_number_as_norm(deltas: np.ndarray) -> None:
    lengths = np.linalg.norm(deltas.astype(np.float64), axis=1)
    if np.median(lengths) > 0:
        expected = clip(client_updates(deltas), VIEW, RNG, norm=float(np.median(lengths))).deltas
        assert torch.allclose(at_the_median(deltas), expected, rtol=1e-6, atol=0)
    else:
        assert not at_the_median(deltas)[lengths > 0].any()


@PROPERTY
@given(delta_matrices(), st.floats(1e-3, 1e4))
def test_a_number_gives_the_bits_of_the_formula(deltas: np.ndarray, norm: float) -> None:
    updates = client_updates(deltas)
    factors = (norm / row_norms(updates.deltas)).clamp_max(1.0).float()
    assert torch.equal(clip(updates, VIEW, RNG, norm=norm).deltas, updates.deltas * factors[:, None])


def test_where_more_than_half_of_the_updates_are_0_all_become_0() -> None:
    assert at_the_median([[0.0], [0], [0], [3], [-7]]).tolist() == [[0]] * 5


@pytest.mark.parametrize("norm", ["mean", "1", "", "Median"])
def test_other_text_is_refused(norm: str) -> None:
    with pytest.raises(ConfigError, match=rf"transform\.norm = '{norm}': must be a number or 'median'"):
        fedskew.aggregate("mean", [[1.0]], transforms=[{"name": "clip", "norm": norm}])


@pytest.mark.parametrize("norm", [0, -1.5, float("nan")])
def test_a_length_must_be_above_0(norm: float) -> None:
    with pytest.raises(ConfigError, match=r"transform\.norm = .*: input should be (greater than 0|a finite)"):
        fedskew.aggregate("mean", [[1.0]], transforms=[{"name": "clip", "norm": norm}])


def test_arc_clips_the_longest_to_the_next_length() -> None:
    # S = 5. f = 1: floor(2 * 4 / 5) = 1 row, to 4. f = 2: floor(4 * 3 / 5) = 2 rows, to 3.
    rows = [[3.0], [-5], [4], [1], [2]]
    assert adaptive(rows, 1).flatten().tolist() == pytest.approx([3, -4, 4, 1, 2])
    assert adaptive(rows, 2).flatten().tolist() == pytest.approx([3, -3, 3, 1, 2])


@pytest.mark.parametrize(
    ("count", "f", "clipped"), [(10, 1, 1), (10, 2, 3), (10, 4, 4), (20, 3, 5), (3, 1, 1)]
)
def test_how_many_arc_clips(count: int, f: int, clipped: int) -> None:
    rows = np.arange(1.0, count + 1)[:, None]
    assert int((adaptive(rows, f) != torch.from_numpy(rows)).sum()) == clipped


@PROPERTY
@given(delta_matrices(), st.data())
def test_arc_agrees_with_a_plain_loop(deltas: np.ndarray, data: st.DataObject) -> None:
    count = len(deltas)
    f = data.draw(st.integers(0, (count - 1) // 2))
    lengths = [float(np.linalg.norm(row.astype(np.float64))) for row in deltas]
    limit = sorted(lengths)[count - 1 - 2 * f * (count - f) // count]
    expected = [
        row.astype(np.float64) * (limit / length if length > limit else 1.0)
        for row, length in zip(deltas, lengths, strict=True)
    ]
    assert adaptive(deltas, f).numpy() == pytest.approx(np.array(expected), rel=1e-6, abs=1e-44)


def test_arc_keeps_who_sent_what() -> None:
    updates = client_updates([[3.0], [4], [9]], [1, 2, 3])
    found = arc(updates, VIEW, RNG, f=1)
    assert found.num_examples is updates.num_examples
    assert found.client_ids is updates.client_ids
    assert updates.deltas.flatten().tolist() == [3, 4, 9]
