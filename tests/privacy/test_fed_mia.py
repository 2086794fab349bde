"""FedMIA: known answers, losses worked out by hand, and the paper's steps as a plain loop."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist, fmean, pstdev
from typing import Literal

import pytest
import torch
from torch import Tensor

from fedskew.privacy import fed_mia as module
from fedskew.privacy.fed_mia import compared, fed_mia, one_tailed
from fedskew.protocols import Observation, PrivacyView
from fedskew.testing.examples import matrix, row, updates
from fedskew.testing.privacy import example_view
from membership_helpers import memorised, never_saw_it


def test_a_model_that_memorised_gives_its_members_away() -> None:
    found = memorised()
    assert found["fed_mia_auc"] > 0.9
    assert found["membership_helpers_fed_mia_by_loss_auc"] > 0.8


@pytest.mark.parametrize("measure", ["cosine", "loss"])
def test_updates_that_never_saw_the_records_give_nothing_away(measure: str) -> None:
    found, deviation = never_saw_it({"name": "fed-mia", "measure": measure})
    assert abs(found["fed_mia_auc"] - 0.5) < 4 * deviation


def hand_made(losses: dict[float, list[float]]) -> PrivacyView:
    """A view in which the first weight says which losses two records have."""

    def found(weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return torch.tensor(losses[float(weights[0])])

    view = example_view(0)
    return replace(view, records=view.records[:2], labels=view.labels[:2], losses=found)


def seen(number: int, firsts: list[float]) -> Observation:
    deltas = torch.zeros(len(firsts), len(row(0)))
    deltas[:, 0] = torch.tensor(firsts)
    return Observation(
        number, torch.zeros(len(row(0))), replace(updates(deltas), client_ids=torch.arange(len(firsts)))
    )


def test_losses_by_hand() -> None:
    """Record 0: the others of client 0 have -1 and -3, a mean of -2 and a deviation of 1; its own is -1."""
    view, attack = hand_made({1.0: [1.0, 5.0], 2.0: [1.0, 5.0], 3.0: [3.0, 5.0]}), fed_mia(measure="loss")
    state = attack.observe(seen(1, [1.0, 2.0, 3.0]), view, attack.init())
    scores = attack.guess(row(0), view, state).scores
    phi = NormalDist().cdf
    assert scores[:3, 0].tolist() == pytest.approx([phi(1), phi(1), phi(-2 / 1e-4)], abs=1e-6)
    assert scores[:3, 1].tolist() == pytest.approx([0.5] * 3)  # all agree: nobody stands out
    assert scores[3:].isnan().all()
    state = attack.observe(seen(2, [3.0, 2.0, 1.0]), view, state)
    again = attack.guess(row(0), view, state).scores
    assert float(again[0, 0]) == pytest.approx((phi(1) + phi(-2 / 1e-4)) / 2, abs=1e-6)


def test_fewer_than_three_clients_say_nothing() -> None:
    view, attack = hand_made({1.0: [1.0, 5.0], 2.0: [2.0, 5.0]}), fed_mia(measure="loss")
    state = attack.observe(seen(1, [1.0, 2.0]), view, attack.init())
    assert attack.guess(row(0), view, state).scores.isnan().all()


@pytest.mark.parametrize("measure", ["cosine", "loss"])
def test_a_client_that_sends_nan_does_not_silence_the_others(measure: Literal["cosine", "loss"]) -> None:
    view, attack, deltas = example_view(0), fed_mia(measure=measure), matrix(4, 1)

    def scores(deltas: Tensor) -> Tensor:
        state = attack.observe(Observation(1, row(0), updates(deltas)), view, attack.init())
        return attack.guess(row(0), view, state).scores[updates(deltas).client_ids]

    alone = scores(deltas[:3])
    assert alone.isfinite().all()
    deltas[3] = torch.nan
    beside = scores(deltas)
    assert torch.allclose(beside[:3], alone)
    assert beside[3].isnan().all()
    assert scores(deltas[1:]).isnan().all()  # only two can be measured


def plainly(measured: list[list[float]]) -> list[list[float]]:
    """Equations 8 to 11, one client and record at a time."""
    found = []
    for k, own in enumerate(measured):
        scores = []
        for x, value in enumerate(own):
            others = [other[x] for j, other in enumerate(measured) if j != k]
            mean, deviation = fmean(others), pstdev(others)
            kept = [other for other in others if other <= mean + 3 * deviation]
            scores.append(NormalDist(fmean(kept), pstdev(kept)).cdf(value))
        found.append(scores)
    return found


@pytest.mark.parametrize("clients", [3, 10, 30])
def test_the_papers_steps(clients: int) -> None:
    measured = torch.randn(clients, 6, generator=torch.Generator().manual_seed(1)).double()
    measured[0, 0] = 100.0  # the one client of thirty that trained on record 0: the others leave it out
    expected = torch.tensor(plainly(measured.tolist())).double()
    assert torch.allclose(one_tailed(measured), expected, atol=1e-6)
    if clients == 30:
        kept = measured[2:, 0]
        alone = NormalDist(float(kept.mean()), float(kept.std(correction=0))).cdf(float(measured[1, 0]))
        assert float(one_tailed(measured)[1, 0]) == pytest.approx(alone, abs=1e-6)


def test_others_that_agree_but_for_rounding_are_all_kept() -> None:
    measured = torch.full((12, 1), 0.1).double()
    assert one_tailed(measured).flatten().tolist() == pytest.approx([0.5] * 12)


def test_of_many_clients_those_asked_about_are_measured_and_others_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view, found = example_view(0, torch.tensor([1, 4])), updates(matrix(9, 0))
    assert compared(found, view)[0] is found.deltas, "all of few, without a copy"
    monkeypatch.setattr(module, "MOST", 5)
    deltas, ids = compared(found, view)
    assert len(ids) == len({*ids.tolist()}) == 5
    assert {1, 4} < {*ids.tolist()}
    assert torch.equal(deltas, found.deltas[torch.isin(found.client_ids, ids)]), "in the order of arrival"
    assert not torch.equal(ids, compared(found, example_view(1, torch.tensor([1, 4])))[1])
    monkeypatch.setattr(module, "MOST", 1)
    assert compared(found, view)[1].tolist() == [1, 4]
