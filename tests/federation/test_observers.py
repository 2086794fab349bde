"""What observers record."""

from __future__ import annotations

import torch

from fedskew.federation.observers import update_norms
from fedskew.protocols import Observation
from helpers import client_updates


def seen(deltas: list[list[float]]) -> object:
    updates = client_updates(torch.tensor(deltas).view(len(deltas), -1)) if deltas else None
    return update_norms().observe(Observation(1, torch.zeros(2), updates))


def test_the_largest_norm_over_the_median() -> None:
    assert update_norms().seat == "server"
    # norms 5, 10, 40: 40 / 10;  norms 5, 15: 15 / 10
    assert seen([[3.0, 4], [6, 8], [0, 40]]) == {"observed_largest_update": 4.0}
    assert seen([[3.0, 4], [9, 12]]) == {"observed_largest_update": 1.5}
    assert seen([[3.0, 4]]) == {"observed_largest_update": 1.0}


def test_nothing_where_there_is_nothing_to_compare_with() -> None:
    assert seen([]) is None
    assert seen([[0.0, 0], [0, 0], [1, 0]]) is None
