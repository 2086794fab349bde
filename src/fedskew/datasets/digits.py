"""``digits``: the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; no download.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
(the test part of it), as bundled in ``sklearn.datasets.load_digits``.

Two choices are fixed here:

- **Grey levels.** The 17 levels 0 .. 16 become uint8 by ``round(level * 255 / 16)``, halves to the even
  neighbour.
- **Split.** Image i is a test image if ``i % 5 == 0``: 360 test and 1,437 training images. The bundled file
  has no split of its own; every fifth image keeps every class in both parts (26 to 48 test images each).
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

SHA256 = "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"
"""Of the 1,797 images as uint8 [1797, 8, 8] followed by the labels as uint8 [1797]."""


def digits(root: Path | None = None, *, verify: bool = True) -> Dataset:
    """The digits: training images uint8 [1437, 1, 8, 8], test images uint8 [360, 1, 8, 8], ten classes.

    Args:
        root: not used; the data comes with scikit-learn.
        verify: refuse content other than that of scikit-learn 1.9.1, should another release change it.

    Raises:
        DataError: scikit-learn's bundled file has changed.

    Reference: Alpaydin & Kaynak, "Cascading Classifiers", Kybernetika, 1998; scikit-learn has the test set of their
    Optical Recognition of Handwritten Digits (UCI Machine Learning Repository).
    """
    levels, targets = _bundled()
    images = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = targets.astype(np.int64)
    sha256 = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    known = sha256 == SHA256
    status = f"{'official' if known else 'unknown'} content (SHA-256 {sha256})"
    if verify and not known:
        raise DataError(
            f"the digits of the installed scikit-learn have SHA-256 {sha256}, expected {SHA256}",
            "install another scikit-learn, or set data.verify = false to use them as they are",
        )
    is_test = np.arange(len(images)) % 5 == 0
    mean, std = channel_statistics(images[~is_test])
    info = DatasetInfo(
        name="digits",
        class_names=tuple("0123456789"),
        image_shape=(1, 8, 8),
        mean=mean,
        std=std,
        provenance=(f"digits bundled with scikit-learn: {status}",),
    )
    train, test = torch.from_numpy(~is_test), torch.from_numpy(is_test)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    return Dataset(info, x[train], y[train], x[test], y[test])


def _bundled() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Grey levels [1797, 64] in 0 .. 16, and labels [1797]."""
    # Importing scikit-learn takes seconds, reading its file milliseconds. scikit-learn does not promise
    # where that file is, so there is a second way; both are checked by hash.
    spec = importlib.util.find_spec("sklearn")
    folders = (spec and spec.submodule_search_locations) or []
    for folder in folders:
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    levels, targets = load_digits(return_X_y=True)
    return levels, targets.astype(np.float64)
