"""``csv``: a table in a text file, one sample per row, with the names of the columns in the first line."""

from __future__ import annotations

import csv as comma_separated
import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.datasets.locate import located
from fedskew.datasets.own import missing_file
from fedskew.datasets.table import (
    Table,
    check_columns,
    check_size,
    column_of,
    is_missing,
    missing_value,
)
from fedskew.datasets.tabular import Roles, tabular
from fedskew.errors import DataError
from fedskew.protocols import Dataset
from fedskew.reading import open_file

DELIMITERS = ",;\t|"
"""What stands between two cells in most files."""
Fraction = Annotated[float, Field(gt=0, lt=1)]


def csv(
    root: Path,
    *,
    path: str,
    labels: str = "label",
    test: str | None = None,
    test_fraction: Fraction = 0.2,
    groups: str | None = None,
    clients: str | None = None,
    features: Sequence[str] = (),
    ignore: Sequence[str] = (),
    categorical: Sequence[str] = (),
    ordinal: Sequence[str] = (),
    delimiter: str = ",",
    verify: bool = True,
) -> Dataset:
    """A table in a text file (UTF-8) whose first line has the names of the columns; each other line is a sample.

    A column of numbers is a feature; any other becomes one feature per value (``fedskew.datasets.table``). The values
    of the column of labels are the class names.

    Args:
        root: where ``path`` is looked for if it is relative and not found from the current folder.
        path: the file.
        labels: the column with the class of each row.
        test: a file with the same columns that is the test part.
        test_fraction: without one, the share of each class that is the test part, always the same rows.
        groups: a column that says to which group each row belongs, for metrics of groups; no feature unless
            ``features`` names it.
        clients: a column that says from which client each row is; no feature, as with ``groups``.
        features: the columns that are features; all that have no other role unless given.
        ignore: columns that are not read.
        categorical: columns of numbers that are categories, such as codes.
        ordinal: categorical columns that become one number, the place of the value in the sorted order.
        delimiter: what stands between two cells.
        verify: there is no official content to compare with; the file's SHA-256 goes into the provenance.

    Raises:
        DataError: the file or a column is missing, a line has another number of cells, or a value is missing.
    """
    if len(delimiter) != 1:
        raise DataError(f"csv: delimiter = {delimiter!r}; expected one character")
    files = [located(root, one) for one in (path, test) if one is not None]
    roles = Roles(labels, groups, clients, *map(tuple, (features, ignore, categorical, ordinal)))
    table = read_columns(files, roles.named(), roles.used_among, delimiter)
    return tabular("csv", path, table, roles, test_fraction)


def read_columns(
    files: Sequence[Path],
    named: Mapping[str, Sequence[str]],
    used_among: Callable[[Sequence[str]], list[str]],
    delimiter: str = ",",
) -> Table:
    """Columns of csv files with the same header, one file below the other.

    Args:
        named: option -> the columns that it names, which must be there.
        used_among: the columns that are read, in their order, from all that there are; at least one.

    Raises:
        DataError: a file or a column is missing, a line has another number of cells, or a value is missing.
    """
    used: list[str] = []
    found: dict[str, dict[str, int]] = {}
    codes: dict[str, array[int]] = {}
    sizes: list[int] = []
    distinct = 0
    needed = {name for names in named.values() for name in names}
    for number, file in enumerate(files):
        rows = _rows(file, delimiter)
        header = next(rows, (1, [""]))[1]
        _check_header(file, header, named, delimiter)
        if not number:
            used = used_among(header)
            found, codes = {name: {} for name in used}, {name: array("i") for name in used}
        check_columns(file, header, used, "test")
        places = [(header.index(name), name, found[name], codes[name]) for name in used]
        samples = before = len(codes[used[0]])
        for line, row in rows:
            if len(row) != len(header):
                raise DataError(
                    f"{file}, line {line}: {len(row)} cells; the first line has {len(header)} columns"
                )
            for place, name, known, coded in places:
                cell = row[place].strip()
                code = known.get(cell)
                if code is None:
                    if is_missing(cell):
                        raise missing_value(file, name, f"line {line}", needed=name in needed)
                    code = known[cell] = len(known)
                    distinct += 1
                coded.append(code)
            samples += 1
            check_size(file, samples * len(used), distinct)
        if samples == before:
            raise DataError(f"{file}: it has no rows below its first line")
        sizes.append(samples - before)
    columns = {n: column_of(n, list(found[n]), np.frombuffer(codes[n], dtype=np.intc)) for n in used}
    return Table(tuple(files), columns, tuple(sizes))


def other_delimiter(header: Sequence[str], delimiter: str) -> str | None:
    """What seems to stand between the columns of a header that was read as one column."""
    if len(header) != 1:
        return None
    return next((one for one in DELIMITERS if one != delimiter and one in header[0]), None)


def _check_header(
    file: Path, header: Sequence[str], named: Mapping[str, Sequence[str]], delimiter: str
) -> None:
    other = other_delimiter(header, delimiter)
    if other is not None and any(name != header[0] for n in named.values() for name in n):
        raise DataError(
            f"{file}, line 1: it has the one column {header[0]!r}; expected columns with {delimiter!r} between them",
            f"between its columns there seems to be {other!r}: put {delimiter!r} there, or of data set `csv` give the "
            f"option delimiter = {json.dumps(other)}",
        )
    if len(set(header)) < len(header) or "" in header:
        twice = next((name for name in header if not name or header.count(name) > 1), "")
        raise DataError(
            f"{file}, line 1: the column name {twice!r} is {'empty' if not twice else 'there twice'}; expected one "
            "different name for each column",
            ""
            if twice
            else "pandas writes its row numbers so: write the table with to_csv(..., index=False)",
        )
    for option, names in named.items():
        check_columns(file, header, names, option)


def _rows(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not empty, the names of the columns first."""
    try:
        with TextIOWrapper(open_file(file), encoding="utf-8-sig", newline="") as text:
            reader = comma_separated.reader(text, delimiter=delimiter, strict=True)
            filled = (row for row in reader if row)
            yield from ((1, [name.strip() for name in row]) for row in islice(filled, 1))
            yield from ((reader.line_num, row) for row in filled)
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: it is not text in UTF-8: {error.reason} at byte {error.start:,}") from error
    except comma_separated.Error as error:
        raise DataError(f"{file}: not a readable table: {error}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
