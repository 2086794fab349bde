"""Tables: columns of text or numbers, and the features that they become.

**Which columns are numbers?** Those of which every value is a number. Any other column is categorical; but one with
more different numbers than other values is refused, since a slip in one cell would make a feature of each number, and
so would decimal commas. A categorical column becomes one feature per value, 1 where a row has it and 0 where not, in
the order of the sorted values, named ``column=value``; or, if the option ``ordinal`` names it, one feature that is the
place of the value in this order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedskew.datasets.own import IntArray
from fedskew.errors import DataError, unknown

MAX_CELLS = 200_000_000
"""The most cells that are read of a table: 0.8 GB of codes while a csv file is read, then 1.6 GB."""
MAX_DISTINCT = 50_000_000
"""The most different values of its columns together, each a text of its own: 9 GB, at 180 bytes for a number of a csv
file, 90 of which are freed when all is read."""
MAX_BYTES = 4 << 30
"""The most of the features; as much again is taken while they are divided into the two parts."""
MAX_VALUES = 100
"""The most values of a column that becomes one feature per value."""
MOST = float(np.finfo(np.float32).max)
"""The largest value of a feature, which is kept in 32 bits."""
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "?", "-", "--"})
"""What stands for a missing value in text, in lower case."""
_WITH_COMMA = re.compile(
    r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d+(e[+-]?\d+)?|[+-]?\d{1,3}(,\d{3})+(\.\d+)?", re.IGNORECASE
)
"""A number with a decimal comma, or with commas (points before a decimal comma) between its thousands."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        values: its different values as text: sorted, by number where all are numbers.
        codes: int64 [N], the place of each row's value in these.
        numbers: the values as float64, ascending; None for a column that has others than numbers.
    """

    name: str
    values: tuple[str, ...]
    codes: IntArray
    numbers: npt.NDArray[np.float64] | None


@dataclass(frozen=True)
class Table:
    """Columns of one or two files, one below the other.

    Attributes:
        files: where they are from.
        sizes: the rows of each file.
    """

    files: tuple[Path, ...]
    columns: dict[str, Column]
    sizes: tuple[int, ...]


def column_of(name: str, values: Sequence[str], codes: npt.NDArray[np.integer]) -> Column:
    """A column from its different values in any order."""
    numbers = np.array([float(v) for v in values]) if all(map(is_number, values)) else None
    # Not an array of text, in which every value would take the room of the longest.
    order = (
        np.argsort(numbers, kind="stable")
        if numbers is not None
        else np.array(sorted(range(len(values)), key=values.__getitem__))
    )
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return Column(
        name,
        tuple(values[i] for i in order),
        place[codes],
        None if numbers is None else numbers[order],
    )


def is_number(text: str) -> bool:
    """Whether a cell of text is a finite number."""
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def is_missing(cell: str) -> bool:
    """Whether a cell of text stands for a missing value."""
    return cell.strip().lower() in MISSING


def missing_value(file: Path, column: str, where: str, *, needed: bool = False) -> DataError:
    """The error for a value that is not there.

    Args:
        needed: whether an option names the column, which then cannot be left out.
    """
    leave = "" if needed else f"; or leave out the column with the option ignore = [{column!r}]"
    return DataError(
        f"{file}, {where}: column {column!r} has no value; every row needs one",
        f"fill it or leave out the row{leave}",
    )


def check_size(file: Path, cells: int, distinct: int = 0) -> None:
    """Refuses a table that would take too much memory.

    Args:
        distinct: the different values of its columns together.

    Raises:
        DataError: it has more cells or different values than are read.
    """
    if cells > MAX_CELLS:
        raise _too_large(file, f"{MAX_CELLS:,} cells")
    if distinct > MAX_DISTINCT:
        raise _too_large(file, f"{MAX_DISTINCT:,} different values in its columns")


def _too_large(file: Path, what: str) -> DataError:
    return DataError(f"{file}: it has more than {what}", "leave out columns with the option `ignore`")


def check_columns(file: Path, there: Sequence[str], wanted: Collection[str], option: str) -> None:
    """Refuses names of columns that are not there.

    Raises:
        DataError: names the column.
    """
    for name in wanted:
        if name not in there:
            _, hint = unknown("column", name, there)
            raise DataError(
                f"{file}: there is no column {name!r} for the option `{option}`; valid: {', '.join(there)}",
                hint,
            )


def _check_slips(table: Table, column: Column) -> None:
    """Refuses a column most of whose different values are numbers, with a point or with a comma.

    Raises:
        DataError: names the first rows whose values cannot be read as a number, at most three.
    """
    odd = [code for code, value in enumerate(column.values) if not is_number(value)]
    words = [code for code in odd if not _WITH_COMMA.fullmatch(column.values[code])]
    if 2 * len(words) >= len(column.values):
        return
    _, first = np.unique(column.codes, return_index=True)
    rows = sorted(first[odd].tolist())[:3]
    told = [f"{column.values[column.codes[row]]!r} ({_place(table, row)})" for row in rows]
    raise DataError(
        f"{table.files[0]}: column {column.name!r} has numbers; expected one in every row, not {', '.join(told)}",
        ("mend these cells" if words else "write decimals with a point, and nothing between thousands")
        + f"; or take every value as a category with categorical = [{column.name!r}]",
    )


def _place(table: Table, row: int) -> str:
    """Where a row is, counted below the line with the names of the columns."""
    first = table.sizes[0]
    return f"row {row + 1}" if row < first else f"{table.files[1].name}, row {row - first + 1}"


def _as_float32(file: Path, column: Column, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The different values of a column of numbers.

    Raises:
        DataError: one is too large.
    """
    with np.errstate(over="ignore"):
        found = numbers.astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError(
            f"{file}: column {column.name!r} has the value {column.values[int(np.isfinite(found).argmin())]!r}; "
            f"expected numbers from {-MOST:.3g} to {MOST:.3g}",
            f"scale the column, or leave it out with ignore = [{column.name!r}]",
        )
    return found


def features_of(
    table: Table, names: Sequence[str], categorical: Collection[str], ordinal: Collection[str]
) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """float32 [N, F] of these columns, and the name of each feature.

    Raises:
        DataError: a categorical column has too many values, the features are too many, or there is no column.
    """
    if not names:
        raise DataError(f"{table.files[0]}: no column is left for the features")
    columns = [table.columns[name] for name in names]
    found = [
        _features(table, column, column.name in categorical, column.name in ordinal) for column in columns
    ]
    named = tuple(name for mine, _ in found for name in mine)
    shape = (sum(table.sizes), len(named))
    if 4 * math.prod(shape) > MAX_BYTES:
        raise _too_large(table.files[0], f"{MAX_BYTES:,} bytes of features, one for each value of a category")
    features = np.empty(shape, dtype=np.float32)
    start = 0
    for column, (mine, of_value) in zip(columns, found, strict=True):
        features[:, start : start + len(mine)] = of_value[column.codes]
        start += len(mine)
    return features, named


def _features(
    table: Table, column: Column, categorical: bool, ordinal: bool
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The names of a column's features, and what they are for each of its values: float32 [values, features]."""
    file = table.files[0]
    if ordinal:
        return [column.name], np.arange(len(column.values), dtype=np.float32)[:, None]
    if column.numbers is not None and not categorical:
        return [column.name], _as_float32(file, column, column.numbers)[:, None]
    if not categorical:
        _check_slips(table, column)
    if len(column.values) > MAX_VALUES:
        odd = next((value for value in column.values if not is_number(value)), column.values[0])
        raise DataError(
            f"{file}: column {column.name!r} has {len(column.values):,} different values, such as {odd!r}, and is "
            f"not a column of numbers; at most {MAX_VALUES} values become a feature each",
            f"leave it out with ignore = [{column.name!r}], or take its order with ordinal = [{column.name!r}]",
        )
    return [f"{column.name}={value}" for value in column.values], np.eye(len(column.values), dtype=np.float32)
