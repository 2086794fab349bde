"""Each shift on images and labels that can be followed by hand, and without strength as if there were none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.errors import ConfigError
from fedskew.protocols import ClientShift, ShiftView
from fedskew.shift.contrast import contrast, contrasted
from fedskew.shift.label_noise import label_noise
from fedskew.shift.noise import noise
from fedskew.shift.rotation import rotated, rotation
from helpers import PROPERTY, toy_info

VIEW = ShiftView(toy_info((1, 5, 4)), 2, 4)
SEEDS = st.integers(0, 2**32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def images(seed: int = 0, shape: tuple[int, ...] = (3, 2, 5, 4)) -> torch.Tensor:
    return torch.from_numpy(rng(seed).integers(0, 256, shape, dtype=np.uint8))


def seen(shift: ClientShift, given: torch.Tensor, seed: int = 1) -> torch.Tensor:
    assert shift.images is not None
    assert shift.labels is None
    return shift.images(given, rng(seed))


@pytest.mark.parametrize(("shift", "option"), [(rotation, "degrees"), (contrast, "strength"), (noise, "std")])
def test_without_strength_images_stay_as_they_are(shift: Any, option: str) -> None:
    assert torch.equal(seen(shift(VIEW, rng(), **{option: 0.0}), images()), images())


# --- rotation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2])
def test_quarter_turns_move_pixels_and_change_none(quarters: int) -> None:
    square = images(shape=(2, 3, 6, 6))
    assert torch.equal(rotated(square, 90.0 * quarters), torch.rot90(square, quarters, dims=(-2, -1)))


def test_half_a_turn_of_an_image_that_is_not_square() -> None:
    assert torch.equal(rotated(images(), 180.0), images().flip(-1, -2))


def test_an_eighth_of_a_turn_by_hand() -> None:
    # The middle stays. The pixel to its right comes from a point at (cos 45, sin 45) = (0.707, 0.707) below and to the
    # right of the middle: 0.707^2 of the corner, 0.707 * 0.293 of each neighbour and 0.293^2 of the middle.
    image = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    image[0, 0, 2, 2] = 200
    found = rotated(image, 45.0)[0, 0]
    assert found[1, 2] == round(200 * 0.5)
    assert found[1, 1] == 0


def test_the_angle_is_recorded_and_within_the_bounds() -> None:
    angles = [rotation(VIEW, rng(seed), degrees=30.0).values["degrees"] for seed in range(200)]
    assert max(map(abs, angles)) < 30
    assert np.std(angles) == pytest.approx(30 / np.sqrt(3), rel=0.1)
    shift = rotation(VIEW, rng(3), degrees=30.0)
    assert torch.equal(seen(shift, images()), rotated(images(), shift.values["degrees"]))


def test_rotation_needs_images() -> None:
    with pytest.raises(ConfigError, match="turns images, and those of 'toy' are 1 x 30"):
        rotation(ShiftView(toy_info((1, 1, 30)), 0, 2), rng(), degrees=10.0)


# --- contrast ---------------------------------------------------------------------------------------


def test_contrast_is_about_the_mean_of_each_image() -> None:
    image = torch.tensor([[[[0, 100, 200]]]], dtype=torch.uint8)
    assert contrasted(image, 0.0).tolist() == [[[[100, 100, 100]]]]
    assert contrasted(image, 1.5).tolist() == [[[[0, 100, 250]]]], "-50 is cut to 0"


def test_the_factor_is_recorded_and_within_the_bounds() -> None:
    factors = [contrast(VIEW, rng(seed), strength=0.4).values["factor"] for seed in range(200)]
    assert 0.6 < min(factors) < 0.65
    assert 1.35 < max(factors) < 1.4


# --- noise ------------------------------------------------------------------------------------------


def test_noise_grows_with_the_clients_number() -> None:
    grey = torch.full((50, 1, 20, 20), 128, dtype=torch.uint8)
    for client in range(4):
        shift = noise(ShiftView(VIEW.info, client, 4), rng(), std=0.1)
        assert shift.values["std"] == pytest.approx(0.1 * (client + 1) / 4)
        difference = seen(shift, grey).double() - 128
        # A rounding adds a twelfth to the variance.
        expected = (255 * shift.values["std"]) ** 2 + 1 / 12
        assert float(difference.var()) == pytest.approx(expected, rel=0.05)


# --- labels -----------------------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.floats(0, 1), st.integers(2, 6), st.integers(0, 40))
def test_a_share_of_the_labels_is_another(seed: int, rate: float, classes: int, count: int) -> None:
    view = ShiftView(toy_info((1, 2, 2), classes), 0, 1)
    shift = label_noise(view, rng(seed), rate=rate)
    assert shift.images is None
    assert shift.labels is not None
    labels = torch.arange(count) % classes
    found = shift.labels(labels, rng(seed + 1))
    assert int((found != labels).sum()) == int(shift.values["rate"] * count + 1e-9)
    assert found.dtype == torch.int64
    assert bool(((found >= 0) & (found < classes)).all())


def test_wrong_labels_are_uniform_over_the_other_classes() -> None:
    view = ShiftView(toy_info((1, 2, 2), 4), 0, 1)
    shift = ClientShift()
    for seed in range(100):
        shift = label_noise(view, rng(seed), rate=1.0)
        if shift.values["rate"] > 0.9:
            break
    assert shift.labels is not None
    found = shift.labels(torch.ones(30_000, dtype=torch.int64), rng(5)).bincount(minlength=4)
    wrong = found[[0, 2, 3]].double()
    assert float((wrong - wrong.mean()).abs().max()) < 5 * np.sqrt(float(wrong.mean()))


def test_label_noise_needs_another_class() -> None:
    with pytest.raises(ConfigError, match="has no other class to take"):
        label_noise(ShiftView(toy_info((1, 2, 2), 1), 0, 1), rng(), rate=0.5)
