"""The cosine attack: known answers."""

from __future__ import annotations

import torch

from fedskew.privacy.delta_cosine import delta_cosine
from fedskew.protocols import Observation
from fedskew.testing.examples import CLIENTS, matrix, row, updates
from fedskew.testing.privacy import example_view
from membership_helpers import memorised, never_saw_it


def test_a_model_that_memorised_gives_its_members_away() -> None:
    assert memorised()["delta_cosine_auc"] > 0.9


def test_updates_that_never_saw_the_records_give_nothing_away() -> None:
    found, deviation = never_saw_it("delta-cosine")
    assert abs(found["delta_cosine_auc"] - 0.5) < 4 * deviation


def test_an_update_made_of_one_record_has_the_cosine_one_with_it() -> None:
    """One record and one step of SGD: the update is minus the record's gradient."""
    view, attack = example_view(0), delta_cosine()
    deltas = torch.stack(
        [view.train(row(7), view.records[k : k + 1], view.labels[k : k + 1], 0) for k in range(3)]
    )
    seen = updates(deltas)
    state = attack.observe(Observation(1, row(7), seen), view, attack.init())
    scores = attack.guess(row(8), view, state).scores
    assert scores.shape == (CLIENTS, len(view.records))
    own = scores[seen.client_ids]
    assert torch.allclose(own[range(3), range(3)], torch.ones(3).double(), atol=1e-6)
    assert (own.argmax(dim=1) == torch.arange(3)).all()
    absent = torch.ones(CLIENTS).bool().index_fill(0, seen.client_ids, False)
    assert scores[absent].isnan().all()


def test_scores_are_means_over_rounds() -> None:
    view, attack, state = example_view(0), delta_cosine(), delta_cosine().init()
    for number in range(2):
        state = attack.observe(Observation(number + 1, row(number), updates(matrix(4, number))), view, state)
    expected = torch.stack(
        [view.cosines(row(number), matrix(4, number), view.records, view.labels) for number in range(2)]
    )
    scores = attack.guess(row(8), view, state).scores[updates(matrix(4, 0)).client_ids]
    assert torch.allclose(scores, expected.double().mean(dim=0))
