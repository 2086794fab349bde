"""Whether a folder still holds what its run wrote: its result and its other files fit each other.

Files may have been edited, or copied over others. What does not fit is named and never shown as a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedskew.errors import FedskewError, RunError
from fedskew.federation.records import record_from_json, record_to_json
from fedskew.files import is_file
from fedskew.protocols import RoundRecord
from fedskew.reading import parse_json


def checksums_of(files: Iterable[Path]) -> dict[str, str]:
    """Name -> SHA-256 of those of these files that there are."""
    return {path.name: checksum_of(path) for path in files if is_file(path)}


def checksum_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_unchanged(path: Path, checksums: Mapping[str, str]) -> None:
    """Compare a file with what a complete run says of it; a file of which it says nothing is taken as it is.

    Raises:
        RunError: it is another one.
    """
    written = checksums.get(path.name)
    if written is not None and is_file(path) and written != checksum_of(path):
        raise changed(path, "its checksum is not the one in the run's result.json")


def check_last(rounds: Path, count: int, last: RoundRecord) -> None:
    """Compare what a result says with the records.

    Args:
        count, last: its number of rounds, and its last record.

    Raises:
        RunError: the records are missing, others in number, or end with another one.
    """
    if not is_file(rounds):
        raise changed(rounds, "it is missing")
    *lines, _torn = rounds.read_bytes().split(b"\n")
    if len(lines) != count:
        raise changed(rounds, f"it has {len(lines)} rounds, and result.json says {count}")
    try:
        same = record_to_json(record_from_json(parse_json(lines[-1]))) == record_to_json(last)
    except (ValueError, IndexError, FedskewError):
        same = False
    if not same:
        raise changed(rounds, "its last record is not the one in result.json")


def changed(path: Path, why: str) -> RunError:
    """What to tell of a file that is not what its run wrote."""
    return RunError(f"{path} is not what the run wrote: {why}", f"remove {path.parent} to do the run again")
