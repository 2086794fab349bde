"""What a file from outside says of clients: to whom each sample belongs, or how many of each class each client has.

Nothing in it is run, and no array is read before its announced size has been checked.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedskew.datasets.csv_file import other_delimiter
from fedskew.errors import PartitionError
from fedskew.partition.client_array import owners_of_array
from fedskew.partition.client_owners import Owners, check_size, is_whole, numbered, sizes_in_words
from fedskew.protocols import DatasetInfo
from fedskew.reading import open_file
from fedskew.wording import count


@dataclass(frozen=True)
class Table:
    """How many samples of each class each client has.

    Attributes:
        names: of the clients, in the order of the file.
        counts: float64 [clients, C], at least 0 each.
    """

    names: tuple[str, ...]
    counts: npt.NDArray[np.float64]


def read_clients(file: Path, total: int, rows: int | None, info: DatasetInfo) -> Owners | Table:
    """What a file says of the clients' training samples.

    Args:
        total: how many there are.
        rows: how many rows the source has from which the test part was drawn, always more; None where there is none.

    Raises:
        PartitionError: the file cannot be read or says neither; names the file and the line.
    """
    if file.suffix in (".npy", ".npz"):
        return owners_of_array(file, "clients_train", total, rows)
    lines = list(_rows(file))
    if _header(lines) in _OF_SAMPLES:
        return _owners(file, lines, total, rows)
    return _table(file, lines, info)


def read_owners(file: Path, total: int) -> Owners:
    """To whom each sample of the test set belongs, as a file says it.

    Raises:
        PartitionError: as ``read_clients``.
    """
    if file.suffix in (".npy", ".npz"):
        return owners_of_array(file, "clients_test", total)
    lines = list(_rows(file))
    if _header(lines) not in (["client"], ["sample", "client"]):
        raise PartitionError(
            f"{file}, line 1: the header is {','.join(lines[0][1])}; expected client, or sample,client"
        )
    return _owners(file, lines, total)


def clients_in(file: Path) -> tuple[int, float]:
    """How many clients a csv file names, and how many samples they have on average, whatever data set they are of.

    Raises:
        PartitionError: the file cannot be read; names the file and the line.
    """
    (header, *lines) = _rows(file)
    if _header([header]) in _OF_SAMPLES:
        known = numbered(file, [cells[-1] for _, cells in lines])
        return len(known.names), float((known.owners >= 0).sum()) / len(known.names)
    sizes = [sum(_number(file, line, cell) for cell in cells[1:]) for line, cells in lines if cells != [""]]
    if not sizes:
        raise PartitionError(f"{file}: it has no client", _FORMATS)
    return len(sizes), sum(sizes) / len(sizes)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a csv file: the header, then all lines that are not empty."""
    check_size(file)
    try:
        with TextIOWrapper(open_file(file), encoding="utf-8-sig", newline="") as stream:
            reader, first = csv.reader(stream), True
            for row in reader:
                cells = [cell.strip() for cell in row]
                if first and not any(cells):
                    break
                if first and (other := other_delimiter(cells, ",")) is not None:
                    raise PartitionError(
                        f"{file}, line 1: it has the one column {cells[0]!r}; expected columns with ',' between them",
                        f"between its columns there seems to be {other!r}: put ',' there",
                    )
                first = False
                # An empty line of a file with one column is a sample of nobody.
                yield reader.line_num, cells or [""]
            if not first:
                return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PartitionError(f"{file}: not a readable csv file: {error}") from None
    raise PartitionError(f"{file}: it has no header", _FORMATS)


def _header(lines: Sequence[tuple[int, list[str]]]) -> list[str]:
    return [name.lower() for name in lines[0][1]]


def _owners(
    file: Path, lines: Sequence[tuple[int, list[str]]], total: int, rows: int | None = None
) -> Owners:
    header = _header(lines)
    of_rows = header[0] == "row" and rows is not None
    many = rows if of_rows and rows is not None else total
    ids = [""] * many if len(header) == 2 else []
    seen: set[int] = set()
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            if len(header) == 2 and cells == [""]:
                continue
            raise PartitionError(
                f"{file}, line {line}: it has {count(len(cells), 'cell')}; expected {len(header)}"
            )
        if len(header) == 1:
            ids.append(cells[0])
            continue
        sample = int(cells[0]) if is_whole(cells[0]) else -1
        if not 0 <= sample < many or sample in seen:
            why = "stands there twice" if sample in seen else f"is not one of 0 to {many - 1}"
            raise PartitionError(f"{file}, line {line}: {header[0]} {cells[0]!r} {why}")
        seen.add(sample)
        ids[sample] = cells[1]
    if len(header) == 1:
        many = _fitting(file, ids, total, rows)
        ids, of_rows = ids[:many], many == rows
    return numbered(file, ids, of_rows)


def _fitting(file: Path, ids: Sequence[str], total: int, rows: int | None) -> int:
    """Of how many samples a column of clients is: of the training samples or of all rows. Empty lines at the end may
    be no samples.

    Raises:
        PartitionError: of neither, or it cannot be told because of empty lines.
    """
    sizes = [many for many in (total, rows) if many is not None]
    fitting = [many for many in sizes if many <= len(ids) and not any(ids[many:])]
    if not fitting:
        raise PartitionError(
            f"{file}: it says to whom {count(len(ids), 'sample')} belong; expected {sizes_in_words(total, rows)}, one "
            "line for each",
            "to name some only, use the header sample,client (or row,client, of the rows of a table)",
        )
    if len(fitting) > 1:
        raise PartitionError(
            f"{file}: its {len(ids)} lines may be {sizes_in_words(total, rows)}, since the last ones are empty",
            "write -1 for a row that is nobody's, or leave out the empty lines at the end",
        )
    return fitting[0]


def _table(file: Path, rows: Sequence[tuple[int, list[str]]], info: DatasetInfo) -> Table:
    columns = [_class(file, name, info) for name in rows[0][1][1:]]
    if not columns or len({*columns}) < len(columns):
        raise PartitionError(
            f"{file}, line 1: expected a column of clients and then one column for each class", _FORMATS
        )
    counts: dict[str, list[float]] = {}
    for line, cells in rows[1:]:
        if cells == [""]:
            continue
        if len(cells) != len(columns) + 1:
            raise PartitionError(
                f"{file}, line {line}: it has {count(len(cells), 'cell')}; expected {len(columns) + 1}"
            )
        if not cells[0] or cells[0] in counts:
            why = f"client {cells[0]!r} stands there twice" if cells[0] else "the client has no name"
            raise PartitionError(f"{file}, line {line}: {why}")
        mine = [0.0] * info.num_classes
        for column, cell in zip(columns, cells[1:], strict=True):
            mine[column] = _number(file, line, cell)
        counts[cells[0]] = mine
    if not counts:
        raise PartitionError(f"{file}: it has no client", _FORMATS)
    return Table(tuple(counts), np.array([*counts.values()]))


def _class(file: Path, name: str, info: DatasetInfo) -> int:
    if name in info.class_names:
        return info.class_names.index(name)
    if is_whole(name) and int(name) < info.num_classes:
        return int(name)
    raise PartitionError(
        f"{file}, line 1: there is no class {name!r} in {info.name!r}; expected one of "
        f"{', '.join(info.class_names[:20])}, or 0 to {info.num_classes - 1}",
        _FORMATS,
    )


def _number(file: Path, line: int, cell: str) -> float:
    try:
        value = float(cell or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e15:  # false for NaN
        raise PartitionError(
            f"{file}, line {line}: {cell!r} is no number of samples; expected a number, at least 0"
        )
    return value


_OF_SAMPLES = (["client"], ["sample", "client"], ["row", "client"])
"""Headers of a file that says to whom each sample belongs."""
_FORMATS = (
    "a csv file has the header client (one line for each training sample, or for each row of a table of your own), "
    "sample,client or row,client, or a first column of clients and then one column for each class, by its name or "
    "number"
)
