"""``parquet``: a table in an Apache Parquet file, read with pyarrow (``pip install 'fedskew[parquet]'``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedskew.datasets.csv_file import Fraction
from fedskew.datasets.extra import needed
from fedskew.datasets.locate import located
from fedskew.datasets.own import missing_file
from fedskew.datasets.table import (
    Column,
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


def parquet(
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
    verify: bool = True,
) -> Dataset:
    """A table in a Parquet file; all as with ``csv``. Columns are text, numbers or yes and no, and not nested.

    Args:
        root, path, labels, test, test_fraction, groups, clients, features, ignore, categorical, ordinal: as of ``csv``.
        verify: there is no official content to compare with; the file's SHA-256 goes into the provenance.

    Raises:
        DataError: pyarrow is not installed; or as ``csv``.
    """
    files = [located(root, one) for one in (path, test) if one is not None]
    roles = Roles(labels, groups, clients, *map(tuple, (features, ignore, categorical, ordinal)))
    return tabular("parquet", path, _read(files, roles), roles, test_fraction)


def _read(files: Sequence[Path], roles: Roles) -> Table:
    arrow, reader = needed("pyarrow", "parquet"), needed("pyarrow.parquet", "parquet")
    tables: list[Any] = []
    used: list[str] = []
    cells = 0
    for number, file in enumerate(files):
        if not file.is_file():
            raise missing_file(file)
        try:
            opened = reader.ParquetFile(file)
            there = opened.schema_arrow.names
            twice = [name for name in there if there.count(name) > 1]
            if twice:
                raise DataError(f"{file}: the column name {twice[0]!r} is there twice")
            for option, names in roles.named().items():
                check_columns(file, there, names, option)
            used = used if number else roles.used_among(there)
            check_columns(file, there, used, "test")
            cells += opened.metadata.num_rows * len(used)
            check_size(file, cells)
            tables.append(opened.read(columns=used))
        except (arrow.ArrowException, OSError) as error:
            raise DataError(f"{file}: not a readable Parquet file: {error}") from error
        if not tables[-1].num_rows:
            raise DataError(f"{file}: it has no rows")
    columns: dict[str, Column] = {}
    distinct = 0
    for name in used:
        parts = [_texts(file, name, table.column(name)) for file, table in zip(files, tables, strict=True)]
        values, codes = np.unique(np.concatenate(parts), return_inverse=True)
        distinct += len(values)
        check_size(files[0], cells, distinct)
        columns[name] = column_of(name, [_as_text(value) for value in values.tolist()], codes)
    return Table(tuple(files), columns, tuple(table.num_rows for table in tables))


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _texts(file: Path, name: str, column: Any) -> np.ndarray:
    """The cells of a column, as float64 or as text."""
    if column.null_count:
        row = column.is_null().to_numpy(zero_copy_only=False).argmax()
        raise missing_value(file, name, f"row {int(row) + 1}")
    kind = str(column.type)
    if kind in ("float", "double", "halffloat") or kind.removeprefix("u").startswith("int"):
        numbers: np.ndarray = column.to_numpy().astype(np.float64)
        if not np.isfinite(numbers).all():
            raise missing_value(file, name, f"row {int(np.isfinite(numbers).argmin()) + 1}")
        return numbers
    if kind.startswith("dictionary") or kind in ("string", "large_string", "string_view", "bool"):
        texts = np.array([str(cell).strip() for cell in column.to_pylist()], dtype=str)
        gone = [row for row, cell in enumerate(texts.tolist()) if is_missing(cell)]
        if gone:
            raise missing_value(file, name, f"row {gone[0] + 1}")
        return texts
    raise DataError(
        f"{file}: column {name!r} is of type {kind}; expected numbers, text or yes and no",
        f"leave it out with ignore = [{name!r}]",
    )
