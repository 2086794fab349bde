"""To which client and group each file of an image folder belongs, as a table in a csv file says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fedskew.datasets.csv_file import read_columns
from fedskew.datasets.own import IntArray
from fedskew.datasets.table import Column
from fedskew.errors import DataError

FILE = "file"
"""The column with the path of each image file below the folder, with ``/``."""

Members = tuple[tuple[str, ...], IntArray]
"""The names of the groups or clients, sorted, and which of them each image belongs to, int64 [N]."""


def members_in(
    table: Path, folder: Path, images: Sequence[Path], columns: Mapping[str, str]
) -> dict[str, Members]:
    """What a table says of these images; it may have lines for other files.

    Args:
        folder: below which the table's column ``file`` has the images.
        columns: option (``"clients"``, ``"groups"``) -> the column that it names.

    Raises:
        DataError: the table cannot be read, lacks a column, or has no line, or two, for one of the images.
    """
    wanted = {"table": (FILE,), **{option: (name,) for option, name in columns.items()}}
    used = {FILE, *columns.values()}
    found = read_columns([table], wanted, lambda header: [name for name in header if name in used]).columns
    rows = _rows(table, folder, images, found[FILE])
    return {option: _among(found[name], rows) for option, name in columns.items()}


def _rows(table: Path, folder: Path, images: Sequence[Path], files: Column) -> IntArray:
    """The row of each image, int64 [N]."""
    lines = np.bincount(files.codes, minlength=len(files.values))
    row_of = dict(zip(files.values, np.argsort(files.codes, kind="stable").tolist(), strict=False))
    if (lines > 1).any():
        twice = files.values[int(np.argmax(lines > 1))]
        raise DataError(f"{table}: the file {twice!r} is there twice; expected one line for each image")
    names = [image.relative_to(folder).as_posix() for image in images]
    for name in names:
        if name not in row_of:
            raise DataError(
                f"{table}: it has no line for the image {name!r} of {folder}",
                f"its column {FILE!r} has the path of each image below the folder, such as {names[0]}",
            )
    return np.array([row_of[name] for name in names], dtype=np.int64)


def _among(column: Column, rows: IntArray) -> Members:
    """The values of a column in these rows: those that occur, and the place of each row's value among them."""
    used, codes = np.unique(column.codes[rows], return_inverse=True)
    return tuple(column.values[i] for i in used.tolist()), codes.astype(np.int64)
