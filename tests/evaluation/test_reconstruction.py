"""Figures of reconstructions, by hand."""

from __future__ import annotations

import pytest
import torch

from fedskew.evaluation.reconstruction import identified, paired, psnr

IMAGES = torch.tensor([0.0, 0.4, 1.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)


def test_psnr_by_hand() -> None:
    found = IMAGES + torch.tensor([0.1, 0.01, 0.0]).view(3, 1, 1, 1)
    assert psnr(found, IMAGES).tolist() == [
        pytest.approx(20, abs=1e-4),
        pytest.approx(40, abs=1e-4),
        torch.inf,
    ]


def test_reconstructions_are_put_into_the_order_of_the_images() -> None:
    found = IMAGES[[2, 0, 1]]
    assert torch.equal(paired(found, IMAGES), IMAGES)


def test_pairs_have_the_smallest_sum_of_squares_and_each_reconstruction_is_used_once() -> None:
    found = torch.tensor([0.3, 0.9, 0.35]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert torch.equal(paired(found, IMAGES)[:, 0, 0, 0], torch.tensor([0.3, 0.35, 0.9]))


def test_identified_counts_the_nearest_candidates() -> None:
    positions = torch.tensor([3, 1, 0])
    candidates = torch.cat([IMAGES.flip(0), torch.full((1, 1, 2, 2), 0.05)])
    assert identified(IMAGES, candidates, torch.tensor([2, 1, 0])) == 1
    assert identified(IMAGES, candidates, positions) == pytest.approx(2 / 3)
    twice = paired(IMAGES[[1, 1, 2]], IMAGES)
    assert identified(twice, candidates, torch.tensor([2, 1, 0])) == pytest.approx(2 / 3)
