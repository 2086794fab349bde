"""Virtual clients have the mix that they are said to have, and are never measured on what they trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedskew.privacy.virtual_clients import MOST, Public, halved, mixes, virtual_clients
from fedskew.protocols import PrivacyView
from fedskew.testing.examples import PARAMETERS
from fedskew.testing.privacy import example_view


def numbered(count: int, classes: int = 4) -> PrivacyView:
    """Public images that are told apart by their first two pixels."""
    images = torch.zeros(count, 1, 1, 5, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = torch.arange(count) % 250, torch.arange(count) // 250
    return replace(example_view(0), public=images, public_labels=torch.arange(count) % classes)


def test_no_image_is_in_both_halves_and_few_enough_are_measured() -> None:
    view = numbered(4 * 3 * MOST)
    public = halved(view)
    trained = torch.cat(public.pools)
    assert not set(trained.tolist()) & set(public.measured.tolist())
    assert len(trained) == 4 * 3 * MOST // 2
    assert public.place.bincount().tolist() == [MOST] * 4
    assert torch.equal(view.public_labels[public.measured], public.classes[public.place])
    for label, pool in zip(public.classes, public.pools, strict=True):
        assert (view.public_labels[pool] == label).all()


def test_a_class_with_one_image_is_left_out() -> None:
    view = numbered(9)
    view = replace(view, public_labels=torch.tensor([0, 0, 1, 3, 3, 3, 3, 0, 0]))
    public = halved(view)
    assert public.classes.tolist() == [0, 3]
    assert [len(pool) for pool in public.pools] == [2, 2]


def test_means_over_classes_by_hand() -> None:
    public = Public(torch.tensor([1, 4]), (), torch.arange(3), torch.tensor([1, 0, 1]))
    assert public.class_means(torch.tensor([1.0, 5.0, 3.0])).tolist() == [5.0, 2.0]


def test_shares_are_those_of_the_images_trained_on_and_reach_from_one_class_to_all() -> None:
    seen = list[tuple[Tensor, Tensor, int]]()

    def train(weights: Tensor, images: Tensor, labels: Tensor, number: int) -> Tensor:
        seen.append((images, labels, number))
        return weights

    view = replace(numbered(240), train=train)
    public = halved(view)
    sizes = [40] * 50 + [7]
    made = list(virtual_clients(torch.zeros(PARAMETERS), sizes, public, view))
    assert [number for *_, number in seen] == list(range(51))
    for (shares, _), (images, labels, _), size in zip(made, seen, sizes, strict=True):
        assert len(labels) == len(images) == size
        assert torch.equal(shares, labels.bincount(minlength=4).double() / size)
        assert torch.equal(view.public_labels[images[:, 0, 0, 0].long()], labels)
    largest = torch.stack([shares.max() for shares, _ in made])
    assert largest.max() > 0.95
    assert largest.min() < 0.4


def test_each_class_has_each_share_once() -> None:
    """Twelve mixes of four classes: three draws, from uneven to even, each in four positions."""
    drawn = np.array(list(mixes(12, 4, np.random.default_rng(0)))).reshape(3, 4, 4)
    for turned in drawn:
        assert (np.sort(turned, axis=0) == np.sort(turned[0])[:, None]).all()
    assert drawn.sum(axis=2) == pytest.approx(1.0)
    assert drawn[0].min() < 1e-3  # a class is all but missing
    assert drawn[2].min() > 0.05


@pytest.mark.parametrize("count", [1, 3, 7])
def test_few_mixes_of_many_classes_still_reach_from_uneven_to_even(count: int) -> None:
    drawn = np.array(list(mixes(count, 100, np.random.default_rng(0))))
    assert drawn.shape == (count, 100)
    if count > 2:
        assert drawn.max(axis=1).max() > 5 * drawn.max(axis=1).min()
