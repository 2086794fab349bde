"""RMIA: known answers, and the attack as a plain loop."""

from __future__ import annotations

from dataclasses import replace
from math import exp, nan

import pytest
import torch
from torch import Tensor

from fedskew.privacy.rmia import MOST, dominated, rmia
from fedskew.protocols import PrivacyView
from fedskew.testing.examples import row
from fedskew.testing.privacy import example_view
from membership_helpers import memorised, never_saw_it


def test_a_model_that_memorised_gives_its_members_away() -> None:
    assert memorised()["rmia_auc"] > 0.9


def test_a_model_that_never_saw_the_records_gives_nothing_away() -> None:
    found, deviation = never_saw_it({"name": "rmia", "rounds": 1})
    assert abs(found["rmia_auc"] - 0.5) < 4 * deviation


def noted(view: PrivacyView) -> tuple[PrivacyView, list[tuple[Tensor, Tensor, int, int]]]:
    """The view, and what references are trained on."""
    asked: list[tuple[Tensor, Tensor, int, int]] = []

    def reference(images: Tensor, labels: Tensor, rounds: int, number: int):  # type: ignore[no-untyped-def]
        asked.append((images, labels, rounds, number))
        return view.reference(images, labels, rounds, number)

    return replace(view, reference=reference), asked


@pytest.mark.parametrize("gamma", [1.0, 1.3])
def test_a_plain_loop(gamma: float) -> None:
    view, asked = noted(example_view(0))
    scores = rmia(references=3, rounds=2, a=0.4, gamma=gamma).guess(row(5), view, {}).scores
    assert [(len(images), rounds, number) for images, _, rounds, number in asked] == [
        (40, 2, n) for n in range(3)
    ]

    def rows(images: Tensor) -> set[bytes]:
        return {image.numpy().tobytes() for image in images}

    models = [example_view(0).reference(*one) for one in asked]
    taken = [rows(images) for images, *_ in asked]
    z = [i for i in range(80) if not any(view.public[i].numpy().tobytes() in part for part in taken)]
    assert len(z) == 40

    def ratio(images: Tensor, labels: Tensor, place: int) -> float:
        one, label = images[place : place + 1], labels[place : place + 1]
        out = sum(exp(-float(model(one, label))) for model in models) / len(models)
        return exp(-float(view.losses(row(5), one, label))) / (((1 + 0.4) * out + (1 - 0.4)) / 2)

    for x in range(len(view.records)):
        own = ratio(view.records, view.labels, x)
        won = [own / ratio(view.public, view.public_labels, i) >= gamma for i in z]
        assert float(scores[x]) == pytest.approx(sum(won) / len(z), abs=0.5 / len(z))


def test_a_record_no_likelier_than_its_references_say_is_no_member() -> None:
    """References that know as much as the model: with a = 1 all ratios are 1 but for rounding."""
    view = example_view(0)
    same = replace(view, reference=lambda *_: lambda images, labels: view.losses(row(5), images, labels))
    assert rmia(a=1.0, gamma=0.99).guess(row(5), same, {}).scores.tolist() == [1.0] * len(view.records)
    assert rmia(a=1.0, gamma=1.01).guess(row(5), same, {}).scores.tolist() == [0.0] * len(view.records)


def test_at_most_a_thousand_images_are_compared_with() -> None:
    view = example_view(0)
    public = (
        torch.arange(2 * MOST + 500).remainder(256).to(torch.uint8)[:, None, None, None].expand(-1, 1, 1, 5)
    )
    large, asked = noted(
        replace(view, public=public, public_labels=torch.zeros(len(public), dtype=torch.int64))
    )
    rmia(references=1).guess(row(5), large, {})
    assert [len(images) for images, *_ in asked] == [1250]


def test_a_diverged_model_says_nothing() -> None:
    view = example_view(0)
    assert rmia().guess(row(5) * torch.nan, view, {}).scores.isnan().all()
    none = replace(view, public=view.public[:1], public_labels=view.public_labels[:1])
    assert rmia().guess(row(5), none, {}).scores.isnan().all()


def test_shares_that_are_reached() -> None:
    ratios = torch.tensor([1.0, nan, 0.5, 4.0]).double()
    found = dominated(ratios, torch.tensor([2.0, 1.0]).double())
    assert found[[0, 2, 3]].tolist() == [0.5, 0.0, 1.0]
    assert found[1].isnan()
