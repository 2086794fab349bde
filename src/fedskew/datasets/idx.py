"""The IDX format, and the two data sets published in it: MNIST and Fashion-MNIST.

An IDX file is a magic number (two zero bytes, the type of an element, the number of axes), the length of each
axis as a big-endian 32-bit integer, and the elements in row-major order. The type here is always 0x08,
unsigned bytes.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedskew.datasets.content import capacity, expect_end, opened, read_exactly
from fedskew.datasets.locate import find, missing
from fedskew.datasets.published import PUBLISHED, Content, Entry
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

MAX_BYTES = 1 << 30
"""The largest IDX file that is read when its content is not verified: 1 GiB, twenty times MNIST."""


def mnist(root: Path, *, verify: bool = True) -> Dataset:
    """MNIST from ``root/mnist/*-ubyte[.gz]``: 60,000 and 10,000 images of [1, 28, 28], ten digits.

    Args:
        verify: refuse content whose SHA-256 is not the official one. Without it any IDX files with images of
            this shape and labels 0 .. 9 are taken as they are.

    Raises:
        DataError: a file is missing, truncated, corrupt, of another shape, or not the official one.

    Reference: LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings
    of the IEEE, 1998.
    """
    return _load(PUBLISHED["mnist"], root, verify)


def fashion_mnist(root: Path, *, verify: bool = True) -> Dataset:
    """Fashion-MNIST from ``root/fashion-mnist/*-ubyte[.gz]``; all else as :func:`mnist`.

    Reference: Xiao, Rasul & Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", 2017 (arXiv 1708.07747).
    """
    return _load(PUBLISHED["fashion-mnist"], root, verify)


def read_idx(path: Path, axes: int, limit: int = MAX_BYTES) -> tuple[npt.NDArray[np.uint8], str]:
    """Reads an IDX file of unsigned bytes, plain or gzip.

    Args:
        axes: how many axes it must have: 3 for images, 1 for labels.
        limit: the most bytes, header included, that it may announce; checked before anything is allocated.

    Returns:
        a writable array of the announced shape, and the SHA-256 (hex) of the decompressed file.

    Raises:
        DataError: not IDX, another type or number of axes, truncated, too long, or larger than ``limit``.
    """
    room = capacity(path)
    with opened(path) as stream:
        header = read_exactly(stream, 4 + 4 * axes, path, "the IDX header")
        expected = bytes((0, 0, 0x08, axes))
        if header[:4] != expected:
            raise DataError(
                f"{path}: wrong magic number 0x{header[:4].hex()}; "
                f"an IDX file of unsigned bytes with {axes} axes starts with 0x{expected.hex()}"
            )
        shape = struct.unpack(f">{axes}I", header[4:])
        size = len(header) + math.prod(shape)
        announced = f"its header announces {' x '.join(map(str, shape))} = {math.prod(shape):,} elements"
        if size > limit:
            raise DataError(f"{path}: {announced}, but it should hold no more than {limit:,} bytes")
        if size > room:
            raise DataError(f"{path}: truncated: {announced}, which a file of its size cannot hold")
        body = read_exactly(stream, size - len(header), path)
        expect_end(stream, size, path)
    digest = hashlib.sha256(header)
    digest.update(body)
    return np.frombuffer(body, dtype=np.uint8).reshape(shape), digest.hexdigest()


def _load(entry: Entry, root: Path, verify: bool) -> Dataset:
    """Reads the four files of ``entry``: training images and labels, test images and labels."""
    parts = []
    provenance = []
    for content, axes in zip(entry.contents, (3, 1, 3, 1), strict=True):
        path = find(entry, root, content)
        if path is None:
            raise missing(entry, root)
        array, sha256 = read_idx(path, axes, content.size if verify else MAX_BYTES)
        if verify:
            _expect_official(entry, content, path, sha256)
        parts.append((path, array))
        provenance.append(f"{path.relative_to(root).as_posix()}: {content.describe(sha256)}")
    info = DatasetInfo(
        entry.name, entry.class_names, entry.image_shape, entry.mean, entry.std, tuple(provenance)
    )
    return Dataset(info, *_pair(entry, *parts[0], *parts[1]), *_pair(entry, *parts[2], *parts[3]))


def _expect_official(entry: Entry, content: Content, path: Path, sha256: str) -> None:
    if sha256 != content.sha256:
        raise DataError(
            f"{path}: corrupt, or other content: SHA-256 {sha256}, "
            f"the official {content.name} has {content.sha256}",
            f"delete it and run `fedskew data fetch {entry.name}`; or set data.verify = false to use it",
        )


def _pair(
    entry: Entry,
    images_path: Path,
    images: npt.NDArray[np.uint8],
    labels_path: Path,
    labels: npt.NDArray[np.uint8],
) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 1, height, width] and labels int64 [N], checked against each other and what was published."""
    _, height, width = entry.image_shape
    if images.shape[1:] != (height, width):
        found = " x ".join(map(str, images.shape[1:]))
        raise DataError(f"{images_path}: its images are {found} pixels, {entry.name} has {height} x {width}")
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: {len(labels):,} labels for the {len(images):,} images of {images_path.name}"
        )
    if not len(labels):
        raise DataError(f"{images_path}: it holds no image")
    if (largest := int(labels.max())) >= len(entry.class_names):
        where = int(labels.argmax())
        raise DataError(
            f"{labels_path}: label {largest} of image {where:,} is out of range; "
            f"{entry.name} has labels 0 to {len(entry.class_names) - 1}"
        )
    return torch.from_numpy(images[:, None]), torch.from_numpy(labels.astype(np.int64))
