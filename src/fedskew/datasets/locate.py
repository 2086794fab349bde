"""Where data files lie: the data root, and each published file below it."""

from __future__ import annotations

import os
from pathlib import Path

from fedskew.datasets.published import Content, Entry
from fedskew.errors import DataError


def data_root(explicit: Path | None = None) -> Path:
    """The folder below which data sets are looked for; it need not exist.

    Args:
        explicit: the folder the user named (``--data-dir``), or None.

    Returns:
        ``explicit``, else ``$FEDSKEW_DATA`` if it is set and not empty, else ``data`` in the user's cache
        folder of this program (on Linux ``~/.cache/fedskew/data``).
    """
    if explicit is not None:
        return explicit.expanduser()
    if from_environment := os.environ.get("FEDSKEW_DATA"):
        return Path(from_environment).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("fedskew", appauthor=False) / "data"


def located(root: Path, path: str) -> Path:
    """A file or folder of the user's: from the current folder, or else from the data root."""
    found = Path(path).expanduser()
    return (
        root / found if not found.is_absolute() and not found.exists() and (root / found).exists() else found
    )


def find(entry: Entry, root: Path, content: Content) -> Path | None:
    """The file below ``root`` that holds ``content``, or None; the one with the preferred suffix if there
    are several."""
    if content is entry.archive:
        candidates = [root / content.name]
    else:
        candidates = [root / entry.folder / (content.name + suffix) for suffix in entry.suffixes]
    return next((path for path in candidates if path.is_file()), None)


def find_archive(entry: Entry, root: Path) -> Path | None:
    """The data set's archive, or None if it has none or it is not there."""
    return None if entry.archive is None else find(entry, root, entry.archive)


def files_of(entry: Entry, root: Path) -> list[Path]:
    """The files that the loader reads: those of the folder if all are there, else the archive; none is read."""
    found = [find(entry, root, content) for content in entry.contents]
    if None in found:
        found = [find_archive(entry, root)]
    return [path for path in found if path is not None]


def download_path(entry: Entry, root: Path, content: Content) -> Path:
    """Where a downloaded file is put: the archive as it is, any other file compressed, as it is published."""
    if content is entry.archive:
        return root / content.name
    return root / entry.folder / f"{content.name}.gz"


def is_available(entry: Entry, root: Path) -> bool:
    """Whether every file that the loader needs is there (none is read)."""
    return bool(files_of(entry, root))


def missing(entry: Entry, root: Path) -> DataError:
    """The error for a data set that is not complete: which file to put where."""
    absent = next(content for content in entry.contents if find(entry, root, content) is None)
    target = download_path(entry, root, entry.archive or absent)
    return DataError(
        f"{entry.name} is not complete: {root / entry.folder / absent.name} is missing",
        f"`fedskew data fetch {entry.name}` downloads it; "
        f"or put {entry.mirrors[0]}{target.name} at {target} yourself",
    )
