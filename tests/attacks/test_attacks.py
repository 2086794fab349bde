"""Triggers pixel by pixel, and what the backdoor does to an adversary's shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.attacks.backdoor import backdoor, class_id
from fedskew.attacks.none import none
from fedskew.attacks.triggers import mask, plus, square
from fedskew.components.binding import resolve
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.protocols import AdversaryView, DatasetInfo, ParameterLayout, Shard, Trigger
from helpers import PROPERTY, toy_info

GREY, COLOUR, DIGITS = toy_info((1, 28, 28)), toy_info((3, 32, 32)), toy_info((1, 8, 8))


def pixels(trigger: Trigger) -> set[tuple[int, int]]:
    """The (row, column) that a trigger replaces."""
    return {(int(row), int(column)) for row, column in trigger.mask.nonzero()}


def rectangle(rows: range, columns: range) -> set[tuple[int, int]]:
    return {(row, column) for row in rows for column in columns}


# --- plus -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("info", [GREY, COLOUR], ids=["28x28", "32x32x3"])
def test_the_papers_plus_sets_rows_5_to_9_of_column_5_and_columns_3_to_7_of_row_7(info: Any) -> None:
    trigger = plus(info)
    assert pixels(trigger) == {(r, 5) for r in range(5, 10)} | {(7, c) for c in range(3, 8)}
    images = torch.full((2, *info.image_shape), 9, dtype=torch.uint8)
    expected = images.clone()
    expected[:, :, 5:10, 5] = 255  # as the authors' code writes it, on all channels
    expected[:, :, 7, 3:8] = 255
    stamped = trigger.apply(images)
    assert torch.equal(stamped, expected)
    assert stamped.dtype == torch.uint8
    assert (images == 9).all()  # a copy


def test_on_8x8_images_the_plus_is_3x3_in_rows_1_to_3_and_columns_0_to_2() -> None:
    # scale 8/28: row 5 * 8/28 = 1.4 -> 1, column 3 * 8/28 = 0.9 -> 0, size 1.4 -> the least, 3
    assert pixels(plus(DIGITS)) == {(1, 1), (2, 1), (3, 1), (2, 0), (2, 2)}


def test_a_plus_where_and_as_large_as_it_is_told() -> None:
    trigger = plus(GREY, row=20, column=22, size=3, value=100)
    assert pixels(trigger) == {(20, 23), (21, 23), (22, 23), (21, 22), (21, 24)}
    assert set(trigger.value.unique().tolist()) == {100}  # type: ignore[no-untyped-call]


def test_a_plus_may_touch_the_last_row_and_column() -> None:
    assert max(pixels(plus(GREY, row=23, column=23))) == (27, 25)
    with pytest.raises(ConfigError):
        plus(GREY, row=24, column=23)
    with pytest.raises(ConfigError):
        plus(GREY, row=23, column=24)


@PROPERTY
@given(st.integers(1, 3), st.integers(3, 70), st.integers(3, 70))
def test_the_default_plus_fits_into_every_image_from_3x3_on(channels: int, height: int, width: int) -> None:
    trigger = plus(toy_info((channels, height, width)))
    touched = pixels(trigger)
    rows, columns = {r for r, _ in touched}, {c for _, c in touched}
    size = len(rows)
    assert size == len(columns)
    assert size in (3, 5)
    assert len(touched) == 2 * size - 1
    assert trigger.value.shape == (channels, height, width)


def test_a_plus_of_even_size_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"trigger 'plus' needs an odd size, got 4"):
        plus(GREY, size=4)


@pytest.mark.parametrize("shape", [plus, square])
def test_a_trigger_that_leaves_the_image_is_an_error_with_place_and_size(
    shape: Callable[..., Trigger],
) -> None:
    with pytest.raises(
        ConfigError, match=r"of size 5 at row 25, column 2 does not fit into the 28x28 images of toy"
    ):
        shape(GREY, row=25, column=2, size=5)


# --- square -----------------------------------------------------------------------------------------


def test_the_default_square_is_one_pixel_away_from_the_bottom_right_corner() -> None:
    # 28 - 4 - 1 = 23: rows and columns 23-26, so 27 stays free
    assert pixels(square(GREY)) == rectangle(range(23, 27), range(23, 27))
    # size 4 * 8/28 = 1.1 -> 2; 8 - 2 - 1 = 5
    assert pixels(square(DIGITS)) == rectangle(range(5, 7), range(5, 7))


def test_a_square_where_and_as_large_as_it_is_told() -> None:
    trigger = square(COLOUR, row=0, column=30, size=2, value=7)
    assert pixels(trigger) == rectangle(range(2), range(30, 32))
    assert trigger.apply(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).sum() == 3 * 4 * 7


@PROPERTY
@given(st.integers(2, 70), st.integers(2, 70))
def test_the_default_square_fits_into_every_image_from_2x2_on(height: int, width: int) -> None:
    touched = pixels(square(toy_info((1, height, width))))
    side = round(len(touched) ** 0.5)
    assert len(touched) == side**2
    assert 2 <= side <= 4


# --- mask -------------------------------------------------------------------------------------------

TINY = toy_info((3, 2, 2))


def saved(folder: Path, pattern: np.ndarray) -> Path:
    path = folder / "pattern.npy"
    np.save(path, pattern)
    return path


def test_a_grey_mask_goes_into_all_channels_where_it_is_not_zero(tmp_path: Path) -> None:
    trigger = mask(TINY, path=saved(tmp_path, np.array([[0, 9], [0, 200]], dtype=np.uint8)))
    stamped = trigger.apply(torch.full((1, 3, 2, 2), 50, dtype=torch.uint8))
    assert stamped[0].tolist() == [[[50, 9], [50, 200]]] * 3


def test_a_colour_mask_replaces_a_pixel_that_is_not_zero_in_some_channel(tmp_path: Path) -> None:
    pattern = np.zeros((3, 2, 2), dtype=np.uint8)
    pattern[1, 0, 0] = 80
    stamped = mask(TINY, path=saved(tmp_path, pattern)).apply(torch.full((1, 3, 2, 2), 50, dtype=torch.uint8))
    assert stamped[0, :, 0, 0].tolist() == [0, 80, 0]
    assert (stamped[0, :, 1, :] == 50).all()
    assert (stamped[0, :, 0, 1] == 50).all()


def test_a_masks_value_takes_the_place_of_the_files_own(tmp_path: Path) -> None:
    trigger = mask(TINY, path=saved(tmp_path, np.array([[0, 9], [0, 200]], dtype=np.uint8)), value=255)
    assert trigger.apply(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))[0].tolist() == [[[0, 255], [0, 255]]] * 3


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (np.ones((2, 3), dtype=np.uint8), r"holds uint8 \[2, 3\]; expected uint8 \[2, 2\] or \[3, 2, 2\]"),
        (np.ones((1, 2, 2), dtype=np.uint8), r"holds uint8 \[1, 2, 2\]; expected"),
        (np.ones((2, 2)), r"holds float64 \[2, 2\]; expected"),
        (np.zeros((2, 2), dtype=np.uint8), r"is 0 everywhere"),
        (np.array([[None, 1], [2, 3]]), r"cannot read"),
    ],
)
def test_a_mask_of_another_shape_or_type_or_without_a_pixel_is_an_error(
    tmp_path: Path, pattern: np.ndarray, words: str
) -> None:
    path = saved(tmp_path, pattern)
    with pytest.raises(ConfigError, match=words) as caught:
        mask(TINY, path=path)
    assert str(path) in caught.value.message


def test_a_mask_that_is_missing_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trigger 'mask': cannot read .*nowhere\.npy"):
        mask(TINY, path=tmp_path / "nowhere.npy")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00"])
def test_a_mask_file_that_is_no_npy_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pattern.npy"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"trigger 'mask'.*pattern\.npy"):
        mask(TINY, path=path)


def test_a_mask_in_an_npz_archive_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "pattern.npz"
    np.savez(path, mask=np.ones((2, 2), dtype=np.uint8))
    with pytest.raises(ConfigError, match=r"trigger 'mask'.*pattern\.npz"):
        mask(TINY, path=path)


# --- applying any trigger ---------------------------------------------------------------------------


@PROPERTY
@given(st.sampled_from([plus, square]), st.integers(0, 255), st.integers(0, 2**32))
def test_a_trigger_replaces_its_pixels_and_no_others_and_is_idempotent(
    shape: Callable[..., Trigger], value: int, seed: int
) -> None:
    trigger = shape(COLOUR, value=value)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=generator).to(torch.uint8)
    stamped = trigger.apply(images)
    assert (stamped[..., trigger.mask] == value).all()
    assert torch.equal(stamped[..., ~trigger.mask], images[..., ~trigger.mask])
    assert torch.equal(trigger.apply(stamped), stamped)


# --- backdoor ---------------------------------------------------------------------------------------


def toy_shard(labels: list[int], info: Any = DIGITS) -> Shard:
    """Images whose pixels all have the number of the image, so that each can be told apart."""
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, *info.image_shape)
    return Shard(images, torch.tensor(labels, dtype=torch.int64))


def poisoned_positions(before: Shard, after: Shard) -> list[int]:
    return (before.images != after.images).flatten(1).any(dim=1).nonzero().flatten().tolist()


def test_a_poisoned_image_carries_trigger_and_target_and_a_clean_one_is_left_alone() -> None:
    shard, attack = toy_shard([0, 1, 2, 3, 4]), backdoor(DIGITS, target=7, poison_fraction=0.5)
    found = attack.poison(shard, np.random.default_rng(0))
    chosen = poisoned_positions(shard, found)
    assert len(chosen) == 2  # half of 5, rounded down
    for position in range(5):
        if position in chosen:
            assert found.labels[position] == 7
            assert torch.equal(
                found.images[position], plus(DIGITS).apply(shard.images[position : position + 1])[0]
            )
        else:
            assert found.labels[position] == shard.labels[position]
            assert torch.equal(found.images[position], shard.images[position])


def test_poisoning_works_on_a_copy() -> None:
    shard = toy_shard([0, 1])
    backdoor(DIGITS, target=7, poison_fraction=1.0).poison(shard, np.random.default_rng(0))
    assert shard.labels.tolist() == [0, 1]
    assert shard.images.flatten(1).unique(dim=1).tolist() == [[0], [1]]  # type: ignore[no-untyped-call]


def test_a_trigger_that_does_not_fit_the_images_is_one_sentence() -> None:
    def unfit(info: DatasetInfo) -> Trigger:
        return Trigger(torch.ones(info.image_shape[1:]), torch.ones(info.image_shape).byte())

    with pytest.raises(
        ConfigError, match=r"trigger '.*unfit': mask = float32 \[8, 8\]; expected bool \[8, 8\]"
    ):
        backdoor(DIGITS, target=7, trigger=Component(name=unfit))


def test_poison_fraction_0_is_the_identity() -> None:
    shard = toy_shard([0, 7, 2, 7])
    found = backdoor(DIGITS, target=7, poison_fraction=0.0).poison(shard, np.random.default_rng(0))
    assert torch.equal(found.images, shard.images)
    assert torch.equal(found.labels, shard.labels)


def test_poison_fraction_1_poisons_everything_the_target_class_included() -> None:
    shard = toy_shard([0, 7, 2, 7])
    found = backdoor(DIGITS, target=7, poison_fraction=1.0).poison(shard, np.random.default_rng(0))
    assert found.labels.tolist() == [7] * 4
    assert poisoned_positions(shard, found) == [0, 1, 2, 3]


def test_only_source_classes_are_poisoned_and_the_fraction_is_of_them() -> None:
    shard = toy_shard([0, 1, 1, 2, 1, 1, 0])
    attack = backdoor(DIGITS, target=7, poison_fraction=0.5, source_classes=[1])
    found = attack.poison(shard, np.random.default_rng(0))
    chosen = poisoned_positions(shard, found)
    assert len(chosen) == 2  # half of the four images of class 1
    assert all(shard.labels[i] == 1 for i in chosen)
    assert [found.labels[i] for i in chosen] == [7, 7]


@pytest.mark.parametrize(("labels", "sources"), [([], None), ([0, 2], [1])], ids=["no image", "no source"])
def test_nothing_to_poison_is_no_error(labels: list[int], sources: list[int | str] | None) -> None:
    shard = toy_shard(labels)
    attack = backdoor(DIGITS, target=7, poison_fraction=1.0, source_classes=sources)
    found = attack.poison(shard, np.random.default_rng(0))
    assert torch.equal(found.images, shard.images)
    assert found.labels.tolist() == labels


def test_so_many_hundredths_of_100_images_are_that_many_images() -> None:
    shard, wrong = toy_shard([0] * 100), []
    for percent in (1, 7, 29, 50, 57, 58, 99):  # 0.29 * 100 is 28.999999999999996
        attack = backdoor(DIGITS, target=7, poison_fraction=percent / 100)
        poisoned = int((attack.poison(shard, np.random.default_rng(0)).labels == 7).sum())
        if poisoned != percent:
            wrong.append((percent, poisoned))
    assert wrong == []


@PROPERTY
@given(st.lists(st.integers(0, 9), max_size=30), st.floats(0, 1), st.integers(0, 2**32))
def test_poisoning_is_a_pure_function_of_shard_and_rng_and_poisons_no_more_than_its_share(
    labels: list[int], fraction: float, seed: int
) -> None:
    shard, attack = toy_shard(labels), backdoor(DIGITS, target=7, poison_fraction=fraction)
    one, other = (attack.poison(shard, np.random.default_rng(seed)) for _ in range(2))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    chosen = poisoned_positions(shard, one)
    assert fraction * len(labels) - 1 < len(chosen) <= fraction * len(labels) + 1e-9
    untouched = [i for i in range(len(labels)) if i not in chosen]
    assert one.labels[untouched].tolist() == [labels[i] for i in untouched]


def test_every_image_is_poisoned_equally_often() -> None:
    shard, attack, counts = toy_shard([0] * 5), backdoor(DIGITS, target=7, poison_fraction=0.4), np.zeros(5)
    for seed in range(500):
        counts += (attack.poison(shard, np.random.default_rng(seed)).labels == 7).numpy()
    # 500 * 2/5 = 200 each, with a standard deviation of 11
    assert counts == pytest.approx(np.full(5, 200), abs=45)


def test_classes_go_by_number_or_name_and_evaluation_is_told_about_them() -> None:
    attack = backdoor(GREY, target="class-7", source_classes=["class-3", 1, 3])
    assert attack.target == 7
    assert attack.source_classes == (1, 3)
    assert attack.trigger is not None
    assert torch.equal(attack.trigger.mask, plus(GREY).mask)
    assert backdoor(GREY, target=7).source_classes is None


@pytest.mark.parametrize("value", [-1, 10])
def test_a_class_number_that_does_not_exist_is_an_error_with_the_range(value: int) -> None:
    with pytest.raises(ConfigError, match=rf"class {value} does not exist: toy has classes 0 to 9"):
        class_id(GREY, value)
    with pytest.raises(ConfigError):
        backdoor(GREY, target=0, source_classes=[value])


def test_a_class_name_that_does_not_exist_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown class of toy 'clas-7'; valid: class-0, class-1"
    ) as caught:
        backdoor(GREY, target="clas-7")
    assert caught.value.hint == "did you mean 'class-7'?"


def test_the_attack_of_a_config_takes_a_trigger_by_name_or_with_options() -> None:
    by_name = resolve("attack", Component(name="backdoor", target=7, trigger="square"))(GREY)
    assert torch.equal(by_name.trigger.mask, square(GREY).mask)
    options = {"name": "plus", "row": 0, "column": 0, "size": 3}
    with_options = resolve("attack", Component(name="backdoor", target="class-7", trigger=options))(GREY)
    assert pixels(with_options.trigger) == {(0, 1), (1, 1), (2, 1), (1, 0), (1, 2)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"poison_fraction": 1.5}, r"poison_fraction = 1.5"),
        ({"trigger": "pluss"}, r"unknown trigger 'pluss'"),
        ({"trigger": {"name": "plus", "size": 0}}, r"attack.trigger.size = 0"),
        ({"trigger": {"name": "plus", "value": 256}}, r"attack.trigger.value = 256"),
    ],
)
def test_bad_options_of_an_attack_are_errors_that_name_them(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve("attack", Component(name="backdoor", target=7, **options), "attack")(GREY)


# --- the identities ---------------------------------------------------------------------------------


def test_the_null_attack_touches_neither_data_nor_updates_and_has_no_backdoor() -> None:
    attack, shard, deltas = none(GREY), toy_shard([0, 1]), torch.ones(2, 3)
    view = AdversaryView(
        1, torch.zeros(3), ParameterLayout(("w",), ((3,),)), torch.tensor([0, 1]), torch.tensor([1, 1])
    )
    assert attack.poison(shard, np.random.default_rng(0)) is shard
    assert attack.craft(deltas, view, np.random.default_rng(0)) is deltas
    assert (attack.trigger, attack.target, attack.source_classes) == (None, None, None)
    assert attack.threat_model == "own-updates"


def test_the_backdoor_sends_what_training_gave() -> None:
    attack, deltas = backdoor(GREY, target=7), torch.ones(1, 3)
    view = AdversaryView(
        1, torch.zeros(3), ParameterLayout(("w",), ((3,),)), torch.tensor([0]), torch.tensor([1])
    )
    assert attack.craft(deltas, view, np.random.default_rng(0)) is deltas
    assert attack.threat_model == "own-updates"
