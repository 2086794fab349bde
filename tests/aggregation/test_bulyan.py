"""Bulyan: by hand, against a plain loop, and when the order of the clients matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.aggregation.bulyan import bulyan
from fedskew.protocols import AggregationTrace
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def weights(trace: AggregationTrace) -> list[float]:
    assert trace.client_weights is not None
    found: list[float] = trace.client_weights.tolist()
    return found


def test_by_hand() -> None:
    # With f = 1 the lowest scores are 71 of 3 (4 + 9 + 9 + 49), 77 of 6 (16 + 25 + 36), 82 of 1 (1 + 81), then 25 of
    # 10 and 15, and 225 of 0 and 15. Of 0 1 3 6 10 the three nearest to the median 3 are 3, 1 and, before 6, 0.
    delta, trace = bulyan(client_updates([[90.0], [0], [1], [3], [6], [10], [15]]), VIEW, f=1)
    assert delta.tolist() == [pytest.approx(4 / 3)]
    assert weights(trace) == pytest.approx([0, 0.2, 0.2, 0.2, 0.2, 0.2, 0])


def test_the_second_step_leaves_out_single_values_of_rows_that_the_first_one_took() -> None:
    # As above, and the first row that Krum takes sticks out in one parameter alone, too little to be left out.
    deltas = torch.zeros(7, 50)
    deltas[:, 1:] = torch.tensor([90.0, 0, 1, 3, 6, 10, 15])[:, None]
    deltas[3, 0] = -3.0
    delta, trace = bulyan(client_updates(deltas), VIEW, f=1)
    assert weights(trace)[3] == pytest.approx(0.2)
    assert delta.tolist() == pytest.approx([0] + [4 / 3] * 49)


@PROPERTY
@given(delta_matrices(st.integers(3, 12)), st.data())
def test_it_agrees_with_a_plain_loop(deltas: np.ndarray, data: st.DataObject) -> None:
    count = len(deltas)
    f = data.draw(st.integers(0, (count - 3) // 4))
    rows = deltas.astype(np.float64)
    left, taken = list(range(count)), list[int]()
    delta, trace = bulyan(client_updates(deltas), VIEW, f=f)
    # Scores that are equal up to rounding may be taken in another order, so the loop checks each choice of the rule.
    chosen = [k for k, weight in enumerate(weights(trace)) if weight > 0]
    assert len(chosen) == count - 2 * f
    while len(taken) < count - 2 * f:
        scores = {}
        for i in left:
            squares = sorted(float(((rows[i] - rows[j]) ** 2).sum()) for j in left if j != i)
            scores[i] = sum(squares[: max(1, len(left) - f - 2)])
        lowest = [i for i in left if scores[i] <= min(scores.values()) * (1 + 1e-12)]
        best = next((i for i in lowest if i in chosen), None)
        assert best is not None
        taken.append(best)
        left.remove(best)
    expected = []
    for column in rows[chosen].T:
        near = sorted(column.tolist(), key=lambda x, column=column: (abs(x - np.median(column)), x))  # type: ignore[misc]
        expected.append(np.mean(near[: count - 4 * f]))
    scale = float(np.abs(deltas).max())
    assert delta.numpy() == pytest.approx(np.array(expected), rel=1e-6, abs=1e-12 * scale + 1e-44)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_clients_matters_where_the_last_choices_look_at_one_neighbour(seed: int) -> None:
    """The two nearest rows of all have equal scores then."""
    random = np.random.default_rng(seed)
    for f, same in ((1, False), (2, False), (3, True), (4, True)):
        deltas = random.standard_normal((4 * f + 3, 8)).astype(np.float32)
        found = [
            bulyan(client_updates(deltas[random.permutation(len(deltas))]), VIEW, f=f)[0] for _ in range(20)
        ]
        assert all(torch.allclose(found[0], other, atol=1e-6) for other in found) is same
