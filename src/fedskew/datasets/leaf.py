"""``leaf``: the JSON files of LEAF, in which every sample has a user; FEMNIST's writers become clients.

A file is ``{"users": [...], "num_samples": [...], "user_data": {USER: {"x": [...], "y": [...]}}}``; the folders
``train`` and ``test`` hold any number of them. FEMNIST's x are the 784 grey values of an image, row by row, from 0 to
1, with 1 as the background, and they stay so here.

Source: S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018; https://github.com/TalwalkarLab/leaf.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fedskew.datasets import folders
from fedskew.datasets.locate import located
from fedskew.datasets.own import IntArray, described, feature_statistics, missing_file
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo
from fedskew.reading import parse_json, read_bytes

MAX_CLASSES = 100_000
MAX_FILE = 2 << 30
"""The largest file that is read: 2 GiB. LEAF writes 100 users into one."""
FEMNIST = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)


def leaf(
    root: Path,
    *,
    path: str,
    values: Literal["pixels", "numbers"] = "pixels",
    size: Sequence[Annotated[int, Field(ge=1)]] = (28, 28),
    verify: bool = True,
) -> Dataset:
    """A data set in LEAF's JSON, for example FEMNIST: users become clients, in the order in which they come.

    Args:
        root: where ``path`` is looked for if it is relative and not found from the current folder.
        path: the folder that holds ``train`` and ``test``, in LEAF ``data/femnist/data``.
        values: ``"pixels"``: x are grey values in 0 .. 1, rounded to 256 levels; ``"numbers"``: any features.
        size: [height, width] of images. With 28 x 28 the classes are FEMNIST's 62 characters.
        verify: there is no official content to compare with; one SHA-256 over all files goes into the provenance.

    Raises:
        DataError: a folder or a file is missing, is not in this format, or has values out of range.

    Reference: Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018 (arXiv 1812.01097).
    """
    if values not in ("pixels", "numbers") or len(size) != 2:
        raise DataError('leaf: expected values = "pixels" or "numbers" and size = [height, width]')
    folder = located(root, path)
    users: dict[str, int] = {}
    files = {part: _files(folder / part) for part in ("train", "test")}
    train, test = (_part(files[part], users, values, size) for part in ("train", "test"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(f"{folder}: x has {train[0].shape[1]} values in train and {test[0].shape[1]} in test")
    mean, std = (
        channel_statistics(train[0]) if values == "pixels" else feature_statistics(train[0][:, :, 0, 0])
    )
    info = DatasetInfo(
        name="leaf",
        class_names=_classes(folder, values, size, train[1], test[1]),
        image_shape=train[0].shape[1:],
        mean=mean,
        std=std,
        provenance=(described(path, [*files["train"], *files["test"]], folder),),
        client_names=tuple(users),
        values=values,
    )
    x_train, y_train, clients_train, x_test, y_test, clients_test = (
        torch.from_numpy(array) for array in (*train, *test)
    )
    return Dataset(
        info, x_train, y_train, x_test, y_test, clients_train=clients_train, clients_test=clients_test
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise missing_file(folder, "folder")
    found = folders.users(folder)
    if not found:
        raise DataError(f"{folder}: it has no .json file")
    return found


def _part(
    files: Sequence[Path], users: dict[str, int], values: str, size: Sequence[int]
) -> tuple[npt.NDArray[Any], IntArray, IntArray]:
    """Samples, labels and clients of a part; adds its users to ``users``."""
    samples, labels, clients = list[Any](), list[IntArray](), list[IntArray]()
    seen: set[str] = set()
    for file in files:
        for user, x, y in _users(file):
            if user in seen:
                raise DataError(f"{file}: the user {user!r} is in two files of {file.parent}")
            seen.add(user)
            if not len(y):
                continue
            samples.append(_samples(file, user, x, values, size))
            labels.append(y)
            clients.append(np.full(len(y), users.setdefault(user, len(users)), dtype=np.int64))
            if samples[-1].shape[1:] != samples[0].shape[1:]:
                raise DataError(
                    f"{file}: x of user {user!r} has {samples[-1].shape[1]} values, that of others "
                    f"{samples[0].shape[1]}"
                )
    if not labels:
        raise DataError(f"{files[0].parent}: it has no sample")
    return np.concatenate(samples), np.concatenate(labels), np.concatenate(clients)


def _users(file: Path) -> Iterator[tuple[str, npt.NDArray[Any], IntArray]]:
    """(user, x [n, F], y [n]) of a file."""
    try:
        content = parse_json(read_bytes(file, MAX_FILE))
        for user in content["users"]:
            data = content["user_data"][user]
            x, y = data["x"], data["y"]
            if len(x) != len(y):
                raise DataError(f"{file}: user {user!r} has {len(x)} x and {len(y)} y")
            if x and isinstance(x[0], str | dict):
                raise DataError(f"{file}: x of user {user!r} is text; expected numbers")
            labels = np.array(y)
            if len(y) and (labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0):
                raise DataError(f"{file}: y of user {user!r} must be whole numbers from 0")
            if len(y) and labels.max() >= MAX_CLASSES:
                raise DataError(
                    f"{file}: y of user {user!r} has the label {labels.max()}; expected one below {MAX_CLASSES:,}"
                )
            with np.errstate(over="ignore"):  # what is not finite in float32 is refused by the caller
                samples = np.array(x, dtype=np.float32)
            yield str(user), samples, labels.astype(np.int64)
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
    ) as error:  # json's errors are ValueErrors
        raise DataError(f"{file}: not in LEAF's format: {type(error).__name__}: {error}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _samples(
    file: Path, user: str, x: npt.NDArray[np.float32], values: str, size: Sequence[int]
) -> npt.NDArray[Any]:
    if x.ndim != 2 or not np.isfinite(x).all():
        raise DataError(f"{file}: x of user {user!r} must be lists of finite numbers, all of one length")
    if values == "numbers":
        return x[:, :, None, None]
    height, width = size
    if x.shape[1] != height * width:
        raise DataError(
            f"{file}: x of user {user!r} has {x.shape[1]} values; an image of {height} x {width} has {height * width}",
            'give the size of the images with size = [height, width], or values = "numbers" for features',
        )
    if x.min() < 0 or x.max() > 1:
        raise DataError(
            f"{file}: x of user {user!r} goes from {x.min():g} to {x.max():g}; grey values are in 0 .. 1"
        )
    return np.rint(x * 255).astype(np.uint8).reshape(-1, 1, height, width)


def _classes(
    folder: Path, values: str, size: Sequence[int], y_train: IntArray, y_test: IntArray
) -> tuple[str, ...]:
    """FEMNIST's characters for its images; else the numbers of the labels, each of which must be in training."""
    most = int(max(y_train.max(), y_test.max()))
    if values == "pixels" and tuple(size) == (28, 28) and most < len(FEMNIST):
        return FEMNIST
    if most == 0:
        raise DataError(f"{folder}: there is one class only; at least two are needed")
    absent = np.setdiff1d(np.arange(most + 1), y_train)
    if len(absent):
        raise DataError(
            f"{folder}: the class {absent[0]} is in no training sample, and the highest is {most}"
        )
    return tuple(map(str, range(most + 1)))
