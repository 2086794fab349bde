"""CIFAR-10 in its official binary layout: six ``.bin`` files, or the archive they come in.

A batch is 10,000 records of 3,073 bytes: one label (0 .. 9), then 1,024 bytes each of red, green and blue,
row by row. The archive is read as a stream, member by member; nothing is unpacked to disk, so no path in
it can do harm. The other official layout, pickled Python objects, is not read: reading a pickle runs code.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.content import expect_end, opened, read_exactly, sha256_of
from fedskew.datasets.locate import find, find_archive, missing
from fedskew.datasets.published import PUBLISHED, Content, Entry
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

ARCHIVE_SLACK = 16 << 20
"""What an archive may hold besides the batches (headers, class names, a read-me): 16 MiB, decompressed."""


def cifar10(root: Path, *, verify: bool = True) -> Dataset:
    """CIFAR-10: 50,000 and 10,000 images uint8 [3, 32, 32], ten classes.

    Reads ``root/cifar-10-batches-bin/*.bin`` if all six files are there, else
    ``root/cifar-10-binary.tar.gz``. Batches of unknown content are taken if their size and labels are right;
    the provenance says what they are.

    Args:
        verify: refuse an archive whose SHA-256 is not the published one.

    Raises:
        DataError: a file is missing, of the wrong size, corrupt, or holds a label out of range.

    Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, 2009.
    """
    entry = PUBLISHED["cifar-10"]
    archive = find_archive(entry, root)
    paths = [find(entry, root, content) for content in entry.contents]
    provenance: list[str] = []
    if all(path is not None for path in paths):
        batches = from_files(entry, root, provenance)
    elif archive is not None:
        provenance.append(f"{archive.name}: {_archive_status(entry, archive, verify)}")
        batches = from_archive(entry, archive)
    else:
        raise missing(entry, root)
    images, labels = collected(entry, batches)
    info = DatasetInfo(
        entry.name, entry.class_names, entry.image_shape, entry.mean, entry.std, tuple(provenance)
    )
    split = len(labels) - entry.contents[-1].size // record_size(entry)  # the last batch is the test set
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    return Dataset(info, x[:split], y[:split], x[split:], y[split:])


def record_size(entry: Entry) -> int:
    """The bytes of a label and its image."""
    channels, height, width = entry.image_shape
    return entry.label_bytes + channels * height * width


def collected(
    entry: Entry, batches: Iterator[tuple[int, str, bytearray]], label: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Batches in any order to images [N, channels, height, width] and labels [N] in the official order.

    Args:
        batches: position in ``entry.contents``, name for error messages, and the bytes.
        label: which of a record's label bytes.
    """
    record = record_size(entry)
    starts = np.cumsum([0, *(content.size // record for content in entry.contents)])
    images = np.empty((int(starts[-1]), *entry.image_shape), dtype=np.uint8)
    labels = np.empty(int(starts[-1]), dtype=np.int64)
    for index, name, buffer in batches:
        records = np.frombuffer(buffer, dtype=np.uint8).reshape(-1, record)
        if (largest := int(records[:, label].max())) >= len(entry.class_names):
            raise DataError(
                f"{name}: label {largest} of record {int(records[:, label].argmax()):,} is out of range; "
                f"{entry.name} has labels 0 to {len(entry.class_names) - 1}"
            )
        rows = slice(int(starts[index]), int(starts[index + 1]))
        labels[rows] = records[:, label]
        images[rows] = records[:, entry.label_bytes :].reshape(-1, *entry.image_shape)
    return images, labels


def from_files(entry: Entry, root: Path, provenance: list[str]) -> Iterator[tuple[int, str, bytearray]]:
    """The batches of the folder; adds a line on each to ``provenance``."""
    for index, content in enumerate(entry.contents):
        path = root / entry.folder / content.name
        if (size := path.stat().st_size) != content.size:
            raise DataError(
                f"{path}: {size:,} bytes, a batch has {content.size:,}",
                f"delete the folder {entry.folder} and get {entry.archive.name if entry.archive else entry.name} again",
            )
        with opened(path, decompress=False) as stream:
            buffer = read_exactly(stream, content.size, path)
            expect_end(stream, content.size, path)
        status = content.describe(hashlib.sha256(buffer).hexdigest())
        provenance.append(f"{entry.folder}/{content.name}: {status}")
        yield index, str(path), buffer


def _archive_status(entry: Entry, path: Path, verify: bool) -> str:
    """What the archive is, by the SHA-256 of the file itself."""
    assert entry.archive is not None
    sha256 = sha256_of(path, limit=None)
    if verify and sha256 != entry.archive.sha256:
        raise DataError(
            f"{path}: corrupt, or another archive: SHA-256 {sha256}, published is {entry.archive.sha256}",
            f"delete it and run `fedskew data fetch {entry.name}`; or set data.verify = false to use it",
        )
    return entry.archive.describe(sha256)


class _Bounded:
    """A stream that fails after ``limit`` bytes, so that a gzip bomb does no harm."""

    def __init__(self, stream: BufferedIOBase, limit: int, path: Path) -> None:
        self._stream, self._left, self._path = stream, limit, path

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._path}: it decompresses to far more than the data set; refused")
        return data


def from_archive(entry: Entry, path: Path) -> Iterator[tuple[int, str, bytearray]]:
    """The batches of the archive, in its order; other members (class names, a read-me) are skipped."""
    positions = {f"{entry.folder}/{content.name}": i for i, content in enumerate(entry.contents)}
    absent = set(positions)
    limit = sum(content.size for content in entry.contents) + ARCHIVE_SLACK
    try:
        with opened(path) as stream:
            bounded = cast(IO[bytes], _Bounded(stream, limit, path))
            with tarfile.open(fileobj=bounded, mode="r|") as tar:
                for member in tar:
                    name = _safe_name(member, path)
                    if name not in positions:
                        continue
                    if name not in absent:
                        raise DataError(f"{path}: it holds {name} twice")
                    absent.remove(name)
                    index = positions[name]
                    yield index, f"{path}: {name}", _read_member(tar, member, entry.contents[index], path)
    except (tarfile.TarError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable tar archive: {error}", "delete it and fetch it again"
        ) from error
    if absent:
        raise DataError(
            f"{path}: it does not hold {', '.join(sorted(absent))}", "delete it and fetch it again"
        )


def _safe_name(member: tarfile.TarInfo, path: Path) -> str:
    """A member's path, normalised.

    Nothing is written to these paths; but an archive that holds links or leads out of its folder is
    probably an attack, and is refused as a whole.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{path}: refused: its member {member.name!r} leads out of the archive's folder")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{path}: refused: its member {member.name!r} is a link or a device, not a file")
    return str(name)


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo, content: Content, path: Path) -> bytearray:
    """The bytes of a batch, whose announced size is compared before anything is allocated."""
    file = tar.extractfile(member)
    if file is None or member.size != content.size:
        raise DataError(f"{path}: {member.name}: {member.size:,} bytes, a batch has {content.size:,}")
    return read_exactly(cast(BufferedIOBase, file), content.size, path, member.name)
