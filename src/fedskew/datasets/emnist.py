"""EMNIST in its IDX files: handwritten letters and digits in six arrangements.

The images lie in the files with rows and columns exchanged, and are turned back here. No checksum of these files is
known here, so the content is described as unknown.

Source: G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST: Extending MNIST to handwritten letters", 2017;
https://www.nist.gov/itl/products-and-services/emnist-dataset (``gzip.zip``, which holds the files).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.folders import emnist_files
from fedskew.datasets.idx import read_idx
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

Arrangement = Literal["letters", "digits", "balanced", "byclass", "bymerge", "mnist"]

_ALL = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
_MERGED = tuple(string.digits + string.ascii_uppercase + "abdefghnqrt")
_CLASSES: dict[str, tuple[str, ...]] = {
    "letters": tuple(string.ascii_uppercase),
    "digits": tuple(string.digits),
    "balanced": _MERGED,
    "byclass": _ALL,
    "bymerge": _MERGED,
    "mnist": tuple(string.digits),
}
"""The merged ones have one class for upper and lower case of the letters that look alike."""
_FIRST = {"letters": 1}
"""The label of the first class in the files, where it is not 0."""


def emnist(root: Path, *, split: Arrangement, verify: bool = True) -> Dataset:
    """EMNIST: images uint8 [1, 28, 28] of handwritten letters and digits.

    Reads ``root/emnist/emnist-SPLIT-train-images-idx3-ubyte`` and its three companions, each plain or with ``.gz``.

    Args:
        split: the arrangement: ``"letters"`` (26 classes, upper and lower case as one), ``"digits"`` (10),
            ``"balanced"`` (47), ``"byclass"`` (62), ``"bymerge"`` (47), ``"mnist"`` (10).
        verify: there is no checksum to compare with; the SHA-256 of each file goes into the provenance.

    Raises:
        DataError: a file is missing, truncated, corrupt, or of another shape.

    Reference: Cohen, Afshar, Tapson & van Schaik, "EMNIST: Extending MNIST to handwritten letters", IJCNN 2017.
    """
    if split not in get_args(Arrangement):
        raise DataError(
            f"emnist: unknown split {split!r}; valid: {', '.join(map(repr, get_args(Arrangement)))}"
        )
    provenance: list[str] = []
    files = emnist_files(root, split)
    train, test = (_part(root, split, part, provenance) for part in (files[:2], files[2:]))
    mean, std = channel_statistics(train[0])
    info = DatasetInfo("emnist", _CLASSES[split], (1, 28, 28), mean, std, tuple(provenance))
    x_train, y_train, x_test, y_test = (torch.from_numpy(array) for array in (*train, *test))
    return Dataset(info, x_train, y_train, x_test, y_test)


def _part(
    root: Path, split: str, files: Sequence[Path], provenance: list[str]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [N, 1, 28, 28], upright, and labels [N] from 0."""
    arrays = []
    for file, axes in zip(files, (3, 1), strict=True):
        if not file.is_file():
            raise DataError(
                f"emnist is not complete: {file} (or with .gz) is missing",
                "put the files of gzip.zip from https://www.nist.gov/itl/products-and-services/emnist-dataset there",
            )
        array, sha256 = read_idx(file, axes)
        arrays.append(array)
        provenance.append(f"{file.relative_to(root).as_posix()}: unknown content (SHA-256 {sha256})")
    (images_file, labels_file), (images, labels) = files, arrays
    if images.shape[1:] != (28, 28):
        raise DataError(
            f"{images_file}: its images are {images.shape[1]} x {images.shape[2]} pixels, EMNIST has 28 x 28"
        )
    if len(images) != len(labels) or not len(labels):
        raise DataError(
            f"{labels_file}: {len(labels):,} labels for the {len(images):,} images of {images_file.name}"
        )
    first, classes = _FIRST.get(split, 0), len(_CLASSES[split])
    if not first <= labels.min() <= labels.max() < first + classes:
        raise DataError(
            f"{labels_file}: labels from {labels.min()} to {labels.max()}; emnist {split} has labels {first} to "
            f"{first + classes - 1}"
        )
    upright = np.ascontiguousarray(images.swapaxes(1, 2))[:, None]
    return upright, labels.astype(np.int64) - first
