"""Checks of data sets, splits and models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError
from fedskew.protocols import Dataset, DatasetInfo, IndexArray
from fedskew.seeding import torch_seeded
from fedskew.wording import count


_MEMBERSHIPS = {"group": 2, "client": 1}
"""What an image may belong to, and how many of these a data set must at least have."""


def checked_dataset(name: str, found: object) -> Dataset:
    """A ``Dataset`` whose images, labels, groups and clients are what its docstring says and fit its ``info``.

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
        _check_images(name, part, images, found.info.image_shape)
        labels, classes = getattr(found, f"y_{part}"), found.info.num_classes
        _check_numbers(name, f"y_{part}", labels, len(images), "label", "class", classes)
        for what in _MEMBERSHIPS:
            belongs, names = getattr(found, f"{what}s_{part}"), getattr(found.info, f"{what}_names")
            if belongs is not None:
                _check_numbers(name, f"{what}s_{part}", belongs, len(images), what, what, len(names))
    return found


def _check_info(name: str, info: object) -> None:
    if not isinstance(info, DatasetInfo):
        raise ConfigError(f"data set {name!r}: info must be a DatasetInfo, not {type(info).__name__}")
    shape = tuple(info.image_shape)
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ConfigError(
            f"data set {name!r}: image_shape is {info.image_shape}; expected (channels, height, width)"
        )
    if not info.class_names:
        raise ConfigError(f"data set {name!r} has no class names; expected one for each class")
    for field, values, expected in (
        ("mean", info.mean, "between 0 and 1"),
        ("std", info.std, "above 0 and at most 1"),
    ):
        fits = all(0 <= x <= 1 and (x > 0 or field == "mean") for x in values)  # false for NaN
        if len(values) != shape[0] or not fits:
            raise ConfigError(
                f"data set {name!r}: {field} is {tuple(values)}; expected {count(shape[0], 'number')} {expected}",
                f"it is the {field} of pixel / 255, for each channel; mean 0 and std 1 leave pixel / 255 as it is",
            )


def _check_images(name: str, part: str, images: object, shape: tuple[int, ...]) -> None:
    size = [*shape]
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or list(images.shape[1:]) != size:
        raise ConfigError(
            f"data set {name!r}: x_{part} is {described(images)}; expected uint8 [N, {', '.join(map(str, size))}]",
            "images are pixels from 0 to 255; fedskew normalises them with the mean and std of the data set's info",
        )
    if not len(images):
        raise ConfigError(f"data set {name!r}: x_{part} has no images")


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
            f"leave out {what}s_train and {what}s_test if the data has no {what}s",
        )
    if not used:
        raise ConfigError(
            f"data set {name!r} has {what}_names, and neither {what}s_train nor {what}s_test; expected the {what} of "
            "each image"
        )


def _check_numbers(
    name: str, array: str, found: object, images: int, what: str, named: str, many: int
) -> None:
    """Labels or groups: one number per image, below ``many``, the number of names."""
    if not isinstance(found, Tensor) or found.dtype != torch.int64 or found.shape != (images,):
        raise ConfigError(
            f"data set {name!r}: {array} is {described(found)}; expected int64 [{images}], one {what} per image"
        )
    low, high = int(found.min()), int(found.max())
    if low < 0 or high >= many:
        raise ConfigError(
            f"data set {name!r}: {array} has {what}s from {low} to {high}; expected 0 to {many - 1}, "
            f"one for each of its {many} {named} names"
        )


def checked_split(
    name: str, parts: object, total: int, clients: int, *, shares: bool = False
) -> list[IndexArray]:
    """One array of positions per client; disjoint and together all of them.

    Args:
        shares: whether the split may also give a position to every client, or to none (``Facts.shares``).

    Raises:
        ConfigError: they are not.
    """
    if isinstance(parts, str) or not isinstance(parts, Sequence | np.ndarray):
        raise ConfigError(f"split {name!r} returned {described(parts)}; expected one array per client")
    if len(parts) != clients:
        raise ConfigError(f"split {name!r} returned {len(parts)} parts for {clients} clients")
    arrays = [_positions(name, part) for part in parts]
    if not _divides(arrays, total, shares):
        whom = "exactly one client" + (", to every client or to none" if shares else "")
        raise ConfigError(
            f"split {name!r} did not divide the {total} images: every position must be given to {whom}"
        )
    return arrays


def _divides(parts: Sequence[IndexArray], total: int, shares: bool) -> bool:
    """Whether these are positions 0 .. total - 1, each with as many holders as it may have."""
    positions = np.concatenate(parts)
    if positions.size and not 0 <= positions.min() <= positions.max() < total:
        return False
    holders = np.bincount(positions, minlength=total)
    if not shares:
        return bool((holders == 1).all())
    distinct = sum(
        len(np.unique(part)) for part in parts
    )  # or one client might hold a position several times
    return distinct == len(positions) and bool(np.isin(holders, (0, 1, len(parts))).all())


def _positions(name: str, part: Any) -> IndexArray:
    try:
        found = np.asarray(part).reshape(-1)
    except (TypeError, ValueError):
        found = np.empty(1, dtype=np.object_)
    whole = found.dtype.kind == "f" and (found == np.floor(found)).all()  # as NumPy makes of an empty list
    if found.dtype.kind not in "iu" and not whole:
        what = f"an array of {found.dtype}" if isinstance(part, np.ndarray) else described(part)
        raise ConfigError(
            f"split {name!r} returned {what} for a client; expected positions, an array of whole numbers"
        )
    return found.astype(np.int64, copy=False)


def checked_model(name: str, module: object, info: DatasetInfo) -> nn.Module:
    """An ``nn.Module`` with finite weights to train, which maps images [N, C, H, W] to logits [N, classes].

    The images are tried on a copy, so that nothing in the module changes.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name!r} must return an nn.Module, not {type(module).__name__}")
    for label, parameter in module.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ConfigError(
                f"model {name!r}: the size of its parameter {label} is not known yet; lazy modules are not supported",
                "give each layer its input size; info.image_shape has the size of the images",
            )
        if not parameter.isfinite().all():
            raise ConfigError(
                f"model {name!r}: its initial weights are not finite: {label} has a NaN or an infinity"
            )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ConfigError(f"model {name!r} has no parameters to train; expected some with requires_grad")
    images = torch.zeros(2, *info.image_shape)
    try:
        trial = copy.deepcopy(module).eval()  # which the engines need as well
    except Exception as error:
        raise ConfigError(f"model {name!r} cannot be copied: {error}") from error
    try:
        with torch.no_grad(), torch_seeded(0):
            logits = trial(images)
    except Exception as error:
        raise ConfigError(f"model {name!r} fails on images {list(images.shape)}: {error}") from error
    expected = [2, info.num_classes]
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or list(logits.shape) != expected:
        raise ConfigError(
            f"model {name!r} returned {described(logits)} for images {list(images.shape)}; expected logits {expected}",
            "one per image and class; a model that returns more than its logits needs a module around it",
        )
    return module


def trained_on(images: int, module: nn.Module, info: DatasetInfo) -> str:
    """Why a model cannot be trained on a batch of so many images; empty if it can.

    They are tried on a copy, so that nothing in the module changes.
    """
    try:
        with torch.no_grad(), torch_seeded(0):
            copy.deepcopy(module).train()(torch.zeros(images, *info.image_shape))
    except Exception as error:
        return next(iter(str(error).splitlines()), type(error).__name__)
    return ""
