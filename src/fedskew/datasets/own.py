"""What the loaders of people's own files share: where a file is, names, a test part, the statistics of features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.content import CHUNK
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo
from fedskew.reading import open_file
from fedskew.rounding import whole
from fedskew.seeding import stream

IntArray = npt.NDArray[np.int64]


def missing_file(file: Path, what: str = "file") -> DataError:
    """The error for a path that leads to nothing."""
    return DataError(
        f"{file}: there is no such {what}",
        f"the option `path` names the {what}, from here or from the data root",
    )


def described(path: str, files: Sequence[Path], base: Path | None = None) -> str:
    """The line of provenance of files of the user's: one SHA-256 over all of them, with their names if there are
    several.

    Raises:
        DataError: one cannot be read.
    """
    digest = hashlib.sha256()
    for file in files:
        if len(files) > 1:
            digest.update(
                f"{file.relative_to(base or file.parent).as_posix()}\0{file.stat().st_size}\0".encode()
            )
        try:
            with open_file(file) as opened:
                while part := opened.read(CHUNK):
                    digest.update(part)
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    return f"{path}: the user's own content (SHA-256 {digest.hexdigest()})"


def held_for_test(file: Path, labels: IntArray, fraction: float) -> npt.NDArray[np.bool_]:
    """Which samples [N] of a data set without a test part are its test part: of each class this share, rounded down,
    and never all of it. They are drawn from a stream of their own, so that they are the same in every run.

    Args:
        file: the file or folder, for the error.

    Raises:
        DataError: no class has enough samples for one of them to be a test sample.
    """
    chosen = np.zeros(len(labels), dtype=np.bool_)
    rng = stream(0, "test part of own data")
    for label in range(int(labels.max()) + 1):
        positions = rng.permutation(np.flatnonzero(labels == label))
        chosen[positions[: whole(fraction * len(positions))]] = True
    if not chosen.any():
        raise DataError(
            f"{file}: test_fraction = {fraction:g} leaves the test part without a sample: no class has enough",
            "raise it, or name a test part of your own",
        )
    return chosen


def divided(
    info: DatasetInfo, is_test: npt.NDArray[np.bool_], *, drawn: bool, **arrays: npt.NDArray[Any]
) -> Dataset:
    """A data set whose samples lie in arrays over both parts.

    Args:
        is_test: [N], which samples are the test part.
        drawn: whether the test part was drawn from the source of the training part, whose rows the samples then are.
        arrays: ``x``, ``y`` and perhaps ``groups`` and ``clients``, each [N, ...].
    """
    if drawn:
        arrays["rows"] = np.arange(len(is_test), dtype=np.int64)
    parts = {"train": torch.from_numpy(~is_test), "test": torch.from_numpy(is_test)}
    found = {
        f"{what}_{part}": torch.from_numpy(array)[chosen]
        for what, array in arrays.items()
        for part, chosen in parts.items()
    }
    return Dataset(info, **found)


def feature_statistics(features: npt.NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of each feature of [N, F]; the deviation of a constant one is 1."""
    mean = features.mean(axis=0, dtype=np.float64)
    varies = features.max(axis=0) > features.min(axis=0)
    # Feature by feature, or a second array of float64 would be as large as two of the data.
    spread = [float(np.sqrt(np.square(features[:, j] - mean[j]).mean())) for j in range(features.shape[1])]
    std = [one if differs and one > 0 else 1.0 for one, differs in zip(spread, varies, strict=True)]
    return tuple(mean.tolist()), tuple(std)


def numbers_of(file: Path, name: str, array: npt.NDArray[Any], samples: int, what: str) -> IntArray:
    """Labels, groups or clients as int64 [N], one per sample, none negative.

    Raises:
        DataError: they are something else.
    """
    if array.shape != (samples,):
        raise DataError(
            f"{file}: {name} has shape {array.shape}, expected ({samples},): one {what} per sample"
        )
    numbers = array.astype(np.int64)
    if (smallest := int(numbers.min())) < 0:
        raise DataError(f"{file}: {name} has the {what} {smallest}; {what}s are numbered from 0")
    return numbers


def class_names(
    file: Path, names: npt.NDArray[Any] | None, y_train: IntArray, y_test: IntArray
) -> tuple[str, ...]:
    """One name per class; checks that the classes are 0 .. C-1, each with a training sample.

    Raises:
        DataError: they are not, or the names do not fit.
    """
    count = _count(file, "y_train", y_train, "class", 2)
    if (largest := int(y_test.max())) >= count:
        raise DataError(f"{file}: y_test has the label {largest}, y_train has the classes 0 to {count - 1}")
    return _named(file, "class", names, count)


def member_names(
    file: Path, what: str, names: npt.NDArray[Any] | None, given: dict[str, IntArray], fewest: int
) -> tuple[str, ...]:
    """One name per group or client, none where there are none; checks that they are 0, 1, ... without a gap.

    Args:
        what: ``"group"`` or ``"client"``.
        given: ``"train"`` and ``"test"``, as far as they are there -> to which each sample belongs.
        fewest: how many there must be.

    Raises:
        DataError: they are not, or the names do not fit.
    """
    if not given:
        if names is not None:
            raise DataError(
                f"{file}: it has {what}_names, and neither {what}s_train nor {what}s_test",
                f"add the {what} of each sample, or leave out the names",
            )
        return ()
    where = " and ".join(f"{what}s_{part}" for part in given)
    count = _count(file, where, np.concatenate([*given.values()]), what, fewest)
    return _named(file, what, names, count)


def _count(file: Path, where: str, numbers: IntArray, what: str, fewest: int) -> int:
    found = np.unique(numbers)
    count = len(found)
    if int(found[-1]) != count - 1:
        gap = int(np.flatnonzero(found != np.arange(count))[0])
        raise DataError(
            f"{file}: the highest {what} of {where} is {int(found[-1])}, but {what} {gap} has no sample",
            "number them 0, 1, ... without a gap, e.g. with numpy.unique(numbers, return_inverse=True)",
        )
    if count < fewest:
        raise DataError(f"{file}: there is one {what} only in {where}; at least two are needed")
    return count


def _named(file: Path, what: str, array: npt.NDArray[Any] | None, count: int) -> tuple[str, ...]:
    """The given names, which must fit, or their numbers."""
    if array is None:
        return tuple(map(str, range(count)))
    names = tuple(map(str, array.ravel()))
    if array.ndim != 1 or len(names) != count or len(set(names)) != count:
        raise DataError(
            f"{file}: {what}_names must be {count} different strings, one per {what}; found {len(names)}"
        )
    return names
