"""The check of every data set, from wherever it comes: types, ranges, shapes, counts, names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError
from fedskew.protocols import Dataset, DatasetInfo, Values
from fedskew.wording import count

MOST_SHOWN = 4
"""Of the numbers of ``mean`` and ``std``, in an error."""
_SAMPLES: Mapping[Values, str] = {"pixels": "images", "numbers": "rows", "tokens": "rows"}
_KINDS: Mapping[Values, str] = {
    "pixels": "images are pixels from 0 to 255; fedskew normalises them with the mean and std of the data set's info; "
    'features without image shape have values = "numbers"',
    "numbers": "each feature is a channel of one pixel; fedskew normalises it with the mean and std of the info",
    "tokens": "each token is a channel of one pixel; a model sees them as they are",
}
_MEMBERSHIPS = {"group": 2, "client": 1}
"""What an image may belong to, and how many of these a data set must at least have."""


def checked_dataset(name: str, found: object) -> Dataset:
    """A ``Dataset`` whose images, labels, groups and clients are what its docstring says and fit its ``info``; tensors
    that do not lie in memory in the order of their axes (after ``permute``, say) are copied.

    Raises:
        ConfigError: it is something else, or an array or a number in it is out of range.
    """
    if not isinstance(found, Dataset):
        raise ConfigError(f"data set {name!r} must be a Dataset, not {type(found).__name__}")
    _check_info(name, found.info)
    for what, fewest in _MEMBERSHIPS.items():
        given = [getattr(found, f"{what}s_{part}") for part in ("train", "test")]
        _check_names(name, what, getattr(found.info, f"{what}_names"), given, fewest)
    for part in ("train", "test"):
        images = getattr(found, f"x_{part}")
        _check_samples(name, part, images, found.info)
        labels, classes = getattr(found, f"y_{part}"), found.info.num_classes
        _check_numbers(name, f"y_{part}", labels, len(images), "label", "class", classes)
        for what in _MEMBERSHIPS:
            belongs, names = getattr(found, f"{what}s_{part}"), getattr(found.info, f"{what}_names")
            if belongs is not None:
                _check_numbers(name, f"{what}s_{part}", belongs, len(images), what, what, len(names))
    _check_rows(name, found)
    moved: dict[str, Any] = {
        field: value.contiguous()
        for field, value in vars(found).items()
        if isinstance(value, Tensor) and not value.is_contiguous()
    }
    return replace(found, **moved) if moved else found


def _check_info(name: str, info: object) -> None:
    if not isinstance(info, DatasetInfo):
        raise ConfigError(f"data set {name!r}: info must be a DatasetInfo, not {type(info).__name__}")
    if info.values not in get_args(Values):
        raise ConfigError(
            f"data set {name!r}: values is {info.values!r}; expected {', '.join(map(repr, get_args(Values)))}"
        )
    shape, flat = tuple(info.image_shape), info.values != "pixels"
    fits = len(shape) == 3 and all(isinstance(size, int) and size > 0 for size in shape)
    if not fits or (flat and shape[1:] != (1, 1)):
        expected = f"(how many {info.values} a sample has, 1, 1)" if flat else "(channels, height, width)"
        raise ConfigError(f"data set {name!r}: image_shape is {info.image_shape}; expected {expected}")
    names = info.class_names
    if not names:
        raise ConfigError(f"data set {name!r} has no class names; expected one for each class")
    if not isinstance(names, tuple) or not all(isinstance(one, str) for one in names):
        raise ConfigError(
            f"data set {name!r}: class_names is {described(names)}; expected a tuple of strings"
        )
    if info.feature_names and len(info.feature_names) != shape[0]:
        raise ConfigError(
            f"data set {name!r}: feature_names has {count(len(info.feature_names), 'name')}; expected one for each of "
            f"the {count(shape[0], 'feature')}, or none"
        )
    for field in ("class_names", "feature_names"):
        if len(set(named := getattr(info, field))) < len(named):
            twice = next(one for one in named if named.count(one) > 1)
            raise ConfigError(
                f"data set {name!r}: {field} has {twice!r} twice; expected a different name for each"
            )
    _check_statistics(name, info)


def _check_statistics(name: str, info: DatasetInfo) -> None:
    """Mean and standard deviation of each channel."""
    if info.values == "tokens":
        if tuple(info.mean) or tuple(info.std):
            raise ConfigError(
                f"data set {name!r}: tokens are not normalised; expected mean = () and std = ()"
            )
        return
    most, channels = (1.0 if info.values == "pixels" else math.inf), info.image_shape[0]
    if info.values == "pixels":
        expected = {"mean": "between 0 and 1", "std": "above 0 and at most 1"}
        hint = "it is the {} of pixel / 255, for each channel; mean 0 and std 1 leave pixel / 255 as it is"
    else:
        expected = {"mean": "that is finite", "std": "above 0"}
        hint = "it is the {} of each feature; mean 0 and std 1 leave the features as they are"
    for field, values in (("mean", info.mean), ("std", info.std)):
        low = -most if field == "mean" and info.values == "numbers" else 0
        fits = all(math.isfinite(x) and low <= x <= most and (x > 0 or field == "mean") for x in values)
        if len(values) != channels or not fits:
            shown = f"{tuple(values)}" if len(values) <= MOST_SHOWN else f"{len(values)} numbers"
            wanted = expected[field] if channels == 1 else expected[field].replace("that is", "that are")
            raise ConfigError(
                f"data set {name!r}: {field} is {shown}; expected {count(channels, 'number')} {wanted}",
                hint.format(field),
            )


def _check_samples(name: str, part: str, found: object, info: DatasetInfo) -> None:
    size = [*info.image_shape]
    if not isinstance(found, Tensor) or found.dtype != info.dtype or list(found.shape[1:]) != size:
        kind = str(info.dtype).removeprefix("torch.")
        raise ConfigError(
            f"data set {name!r}: x_{part} is {described(found)}; expected {kind} [N, {', '.join(map(str, size))}]",
            _KINDS[info.values],
        )
    if not len(found):
        raise ConfigError(f"data set {name!r}: x_{part} has no {_SAMPLES[info.values]}")
    if info.values == "numbers" and not found.isfinite().all():
        at = [int(place) for place in (~found.isfinite()).nonzero()[0]]
        feature = info.feature_names[at[1]] if info.feature_names else str(at[1])
        raise ConfigError(
            f"data set {name!r}: x_{part} has the value {float(found[tuple(at)])} in row {at[0]}, feature {feature}; "
            "expected finite numbers"
        )
    if info.values == "tokens" and int(found.min()) < 0:
        raise ConfigError(f"data set {name!r}: x_{part} has the token {int(found.min())}; expected 0 or more")


def _check_names(name: str, what: str, names: object, given: Sequence[object], fewest: int) -> None:
    """The names of the groups or clients, which are there if the arrays are."""
    used = any(one is not None for one in given)
    if not isinstance(names, tuple) or not all(isinstance(one, str) for one in names):
        raise ConfigError(
            f"data set {name!r}: {what}_names is {described(names)}; expected a tuple of strings"
        )
    if not names and not used:
        return
    if len(names) < fewest or len(set(names)) < len(names):
        raise ConfigError(
            f"data set {name!r}: {what}_names has {count(len(set(names)), 'different name')}; expected one for each "
            f"{what}, and at least {count(fewest, what)}",
            f"if the data has no {what}s, leave out what says to which {what} each sample belongs",
        )
    if not used:
        raise ConfigError(
            f"data set {name!r} has {what}_names, and neither {what}s_train nor {what}s_test; expected the {what} of "
            "each sample"
        )


def _check_rows(name: str, found: Dataset) -> None:
    """The rows of both parts in their source: each once, or none known."""
    parts = {f"rows_{part}": getattr(found, f"rows_{part}") for part in ("train", "test")}
    if all(rows is None for rows in parts.values()):
        return
    sizes = (len(found.y_train), len(found.y_test))
    for (field, rows), size in zip(parts.items(), sizes, strict=True):
        if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.shape != (size,):
            raise ConfigError(
                f"data set {name!r}: {field} is {described(rows)}; expected int64 [{size}], one row per sample, or "
                "None in both parts"
            )
    together = torch.cat([*parts.values()])
    if not together.sort().values.equal(torch.arange(len(together))):
        raise ConfigError(
            f"data set {name!r}: rows_train and rows_test must have each row of their source once, from 0 to "
            f"{len(together) - 1}"
        )


def _check_numbers(
    name: str, array: str, found: object, images: int, what: str, named: str, many: int
) -> None:
    """Labels or groups: one number per image, below ``many``, the number of names."""
    if not isinstance(found, Tensor) or found.dtype != torch.int64 or found.shape != (images,):
        raise ConfigError(
            f"data set {name!r}: {array} is {described(found)}; expected int64 [{images}], one {what} per sample"
        )
    low, high = int(found.min()), int(found.max())
    if low < 0 or high >= many:
        raise ConfigError(
            f"data set {name!r}: {array} has {what}s from {low} to {high}; expected 0 to {many - 1}, "
            f"one for each of its {many} {named} names"
        )
