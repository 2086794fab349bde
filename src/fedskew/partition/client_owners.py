"""To whom each sample belongs, from the names that a file gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedskew.errors import PartitionError
from fedskew.protocols import IndexArray
from fedskew.wording import count

NOBODY = ("", "-1")
"""What stands for no client."""
MOST_BYTES = 1 << 30
"""Of a file."""
MOST_DIGITS = 1000
"""Of a number of a client or sample; Python refuses to read one of many thousands."""


@dataclass(frozen=True)
class Owners:
    """To whom each sample of a set belongs.

    Attributes:
        names: of the clients, in numeric order if all are whole numbers, else in alphabetical order.
        owners: int64 [N], in 0 .. len(names) - 1; -1 for nobody.
        of_rows: whether they are those of all rows of the source from which the test part was drawn, and not those of
            the training samples.
    """

    names: tuple[str, ...]
    owners: IndexArray
    of_rows: bool = False

    def among(self, names: Sequence[str], file: Path) -> IndexArray:
        """The owners by their numbers in other names.

        Raises:
            PartitionError: a client is not among them.
        """
        known = {name: number for number, name in enumerate(names)}
        for name in self.names:
            if name not in known:
                raise PartitionError(f"{file}: there is no client {name!r} among those with training samples")
        numbers = np.array([known[name] for name in self.names] + [-1], dtype=np.int64)
        return numbers[self.owners]


def numbered(file: Path, ids: Sequence[str], of_rows: bool = False) -> Owners:
    """Owners by the names of their clients, one for each sample or row.

    Raises:
        PartitionError: nobody has any.
    """
    names = sorted({*ids} - {*NOBODY})
    if not names:
        raise PartitionError(f"{file}: it gives no sample to any client")
    if all(map(is_whole, names)):
        names.sort(key=int)
    numbers = {name: number for number, name in enumerate(names)} | dict.fromkeys(NOBODY, -1)
    return Owners(tuple(names), np.array([numbers[one] for one in ids], dtype=np.int64), of_rows)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number, and one that Python reads at once."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def sizes_in_words(total: int, rows: int | None) -> str:
    """Of how many samples a file may be.

    Args:
        rows: of the source from which the test part was drawn; None where there is none.
    """
    drawn = "" if rows is None else f" or {count(rows, 'row')}, with those that became the test part"
    return count(total, "training sample") + drawn


def check_size(file: Path) -> None:
    """Refuses a file that is not there or is too large to be read.

    Raises:
        PartitionError: says which.
    """
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise PartitionError(
            f"{file}: there is no such file", "it is looked for from the current folder"
        ) from None
    except OSError as error:
        raise PartitionError(f"{file}: cannot be read: {error.strerror or error}") from None
    if size > MOST_BYTES:
        raise PartitionError(f"{file}: it has {size:,} bytes; expected at most {MOST_BYTES:,}")
