"""Lengths of updates and the angles between them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.evaluation.updates import update_metrics
from fedskew.protocols import ClientUpdates
from helpers import PROPERTY, client_updates, delta_matrices


def test_lengths_and_angles_worked_out_by_hand() -> None:
    # clients 0 and 1 honest, at right angles, lengths 5 and 10; client 2 malicious, opposite to 0, length 5
    updates = client_updates([[3.0, 4.0], [8.0, -6.0], [-3.0, -4.0]])
    assert update_metrics(updates, {2}) == pytest.approx(
        {
            "update_norm_honest": 7.5,
            "update_norm_malicious": 5.0,
            "cosine_honest_honest": 0.0,
            "cosine_honest_malicious": (-1 + 0) / 2,
        }
    )


def test_every_pair_of_different_honest_clients_counts_once() -> None:
    # (1, 0), (0, 1), (1, 1): cosines 0, 1/sqrt 2, 1/sqrt 2
    found = update_metrics(client_updates([[1.0, 0], [0, 1], [1, 1]]), ())
    assert found["cosine_honest_honest"] == pytest.approx(2 / 3 / math.sqrt(2))


def test_malicious_clients_are_found_by_id_and_not_by_row() -> None:
    updates = ClientUpdates(
        torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([1, 1]), torch.tensor([7, 0])
    )
    found = update_metrics(updates, {7, 1})
    assert (found["update_norm_malicious"], found["update_norm_honest"]) == pytest.approx((5, 1))


def test_a_zero_update_has_a_length_and_no_direction() -> None:
    found = update_metrics(client_updates([[3.0, 4.0], [0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]), {3})
    assert found == pytest.approx(
        {"update_norm_honest": 10 / 3, "update_norm_malicious": 0.0, "cosine_honest_honest": 1.0}
    )


@pytest.mark.parametrize(
    ("rows", "malicious", "names"),
    [
        ([[1.0, 2.0]], set(), {"update_norm_honest"}),
        ([[1.0, 2.0]], {0}, {"update_norm_malicious"}),
        ([[1.0, 2.0], [2.0, 1.0]], {0, 1}, {"update_norm_malicious"}),
        ([[1.0, 2.0], [2.0, 1.0]], {5}, {"update_norm_honest", "cosine_honest_honest"}),
        (
            [[1.0, 2.0], [2.0, 1.0]],
            {1},
            {"update_norm_honest", "update_norm_malicious", "cosine_honest_malicious"},
        ),
        ([[0.0, 0.0], [0.0, 0.0]], {1}, {"update_norm_honest", "update_norm_malicious"}),
    ],
)
def test_what_there_is_no_client_or_pair_for_is_left_out(
    rows: list[list[float]], malicious: set[int], names: set[str]
) -> None:
    assert set(update_metrics(client_updates(rows), malicious)) == names


def test_a_round_without_updates_has_no_metrics() -> None:
    assert update_metrics(client_updates(torch.zeros(0, 4)), {1}) == {}


@PROPERTY
@given(delta_matrices(), st.sets(st.integers(0, 6)))
def test_the_metrics_agree_with_plain_loops_over_pairs(deltas: np.ndarray, malicious: set[int]) -> None:
    rows = deltas.astype(np.float64)
    lengths = [float(np.linalg.norm(row)) for row in rows]
    honest = [k for k in range(len(rows)) if k not in malicious]
    bad = [k for k in range(len(rows)) if k in malicious]

    def mean_cosine(pairs: list[tuple[int, int]]) -> list[float]:
        moving = [(a, b) for a, b in pairs if lengths[a] and lengths[b]]
        found = [float(rows[a] @ rows[b]) / lengths[a] / lengths[b] for a, b in moving]
        return [sum(found) / len(found)] if found else []

    expected = {
        "update_norm_honest": [float(np.mean([lengths[k] for k in honest]))] if honest else [],
        "update_norm_malicious": [float(np.mean([lengths[k] for k in bad]))] if bad else [],
        "cosine_honest_honest": mean_cosine([(a, b) for a in honest for b in honest if a < b]),
        "cosine_honest_malicious": mean_cosine([(a, b) for a in honest for b in bad]),
    }
    found = update_metrics(client_updates(deltas), malicious)
    assert found == pytest.approx({n: v[0] for n, v in expected.items() if v}, rel=1e-10, abs=1e-12)
    assert all(abs(value) <= 1 + 1e-12 for name, value in found.items() if name.startswith("cosine"))
