"""An array of clients from outside: a whole number for each sample; no more of it is read than there can be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from fedskew.arrays import plain_errors, read_array
from fedskew.errors import PartitionError
from fedskew.partition.client_owners import Owners, check_size, numbered, sizes_in_words
from fedskew.reading import open_file


def has_test(file: Path) -> bool:
    """Whether a file says to whom test samples belong beside training samples."""
    return file.suffix == ".npz" and "clients_test" in _members(file)


def owners_of_array(file: Path, name: str, total: int, rows: int | None = None) -> Owners:
    """To whom each sample belongs, as an ``.npy`` file or an array of an ``.npz`` file says it.

    Args:
        name: of the array in an ``.npz`` file.
        total, rows: how many samples and how many rows there are; rows is None where there are none.

    Raises:
        PartitionError: it cannot be read, or is not one of these.
    """
    check_size(file)
    try:
        if file.suffix == ".npz":
            if name not in _members(file):
                raise PartitionError(f"{file}: it has no array {name}")
            with plain_errors(), open_file(file) as opened, zipfile.ZipFile(opened) as archive:
                size = archive.getinfo(f"{name}.npy").file_size
                if size > 8 * (rows or total) + 1024:
                    raise PartitionError(f"{file}: {name} is longer than the {sizes_in_words(total, rows)}")
                with archive.open(f"{name}.npy") as stream:
                    array = read_array(stream, size)
        else:
            with open_file(file) as stream:
                array = read_array(stream, file.stat().st_size)
    except (OSError, ValueError) as error:
        raise PartitionError(f"{file}: not a readable array: {error}") from None
    if array.dtype.kind not in "iu" or array.shape not in ((total,), (rows,)):
        raise PartitionError(
            f"{file}: it holds {array.dtype} {list(array.shape)}; expected a whole number for each of "
            f"{sizes_in_words(total, rows)}, -1 for no client"
        )
    owners = array.astype(np.int64)
    if owners.min() < -1:
        raise PartitionError(f"{file}: it has the client {owners.min()}; expected 0 or more, or -1 for none")
    return numbered(file, list(map(str, owners.tolist())), len(owners) == rows)


def _members(file: Path) -> set[str]:
    try:
        with plain_errors(), open_file(file) as opened, zipfile.ZipFile(opened) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError) as error:
        raise PartitionError(f"{file}: not a readable .npz file: {error}") from None
