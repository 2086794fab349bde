"""The data files: where they are, fetching what is missing, and what is there.

The three functions of ``fedskew data where|fetch|verify``. They return records that turn into JSON with
:func:`dataclasses.asdict`, and import neither numpy nor torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedskew.datasets.content import sha256_of
from fedskew.datasets.download import Advance, download, http_client
from fedskew.datasets.locate import data_root, download_path, find, find_archive, is_available
from fedskew.datasets.published import PUBLISHED, Content, Entry, checked_name
from fedskew.errors import DataError

_log = logging.getLogger(__name__)

_NOTES = {"digits": "comes with scikit-learn; there is nothing to fetch"}
_BY_HAND = {
    "cifar-100": (
        ("cifar-100-binary.tar.gz", "cifar-100-binary"),
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz in the data root",
    ),
    "emnist": (
        ("emnist",),
        "the files of https://www.nist.gov/itl/products-and-services/emnist-dataset in its folder `emnist`",
    ),
}
"""Data sets of which no checksum is known -> what is looked for below the data root, and what to put there."""
_OWN = "a file or folder of your own, named by the option `path`; there is nothing to fetch"


@dataclass(frozen=True)
class FileReport:
    """One file of a data set.

    Attributes:
        path: where it is, or where it should be.
        present: whether it is there.
        status: a phrase: "missing", "present", "official content (SHA-256 ...)", "known variant: ...", ...
        ok: False if :func:`fedskew.datasets.load` would find no such file or, as far as this report looked,
            would refuse it.
        size: bytes on disk, None if missing.
        sha256: of the content (see ``published``), None where nothing was read.
        notes: failures before a download that succeeded.
    """

    path: str
    present: bool
    status: str
    ok: bool
    size: int | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetReport:
    """A data set's files.

    Attributes:
        name: as in the config.
        root: the data root that was used.
        available: whether it can be loaded without a download, as far as this report knows.
        files: every file looked at; those of an alternative that is not needed are left out.
        note: for a data set without files below the root: why.
        sources: base URLs it is downloaded from.
    """

    name: str
    root: str
    available: bool
    files: tuple[FileReport, ...] = ()
    note: str = ""
    sources: tuple[str, ...] = ()


def where(name: str, root: Path | None = None) -> DatasetReport:
    """Where the files of a data set are or should be; reads none of them.

    Args:
        root: the data root; None for :func:`fedskew.datasets.data_root`.

    Raises:
        DataError: an unknown name.
    """
    return _report(name, root, _look)


def verify(name: str, root: Path | None = None) -> DatasetReport:
    """What the files of a data set are, by the SHA-256 of their content; reads all of them.

    A bad file is not an error but a report with ``ok`` false; else as :func:`where`.
    """
    return _report(name, root, _identify)


def fetch(
    name: str, root: Path | None = None, *, mirrors: Sequence[str] | None = None, progress: bool = True
) -> DatasetReport:
    """Downloads what is missing of a data set, checks it and puts it in place. Files that exist are not
    changed.

    Args:
        root: the data root, made if need be; None for :func:`fedskew.datasets.data_root`.
        mirrors: base URLs to use instead of the official ones, e.g. of an institute's server.
        progress: show a progress bar on stderr.

    Raises:
        DataError: an unknown name, or a file that no mirror gave (the hint says which file to put where).
    """
    entry = PUBLISHED.get(checked_name(name))
    base = data_root(root)
    if entry is None or is_available(entry, base):
        return where(name, root)
    done: dict[str, FileReport] = {}
    wanted = (entry.archive,) if entry.archive else entry.contents
    with _alone(base), http_client() as client, _progress(progress) as bar:
        for content in wanted:
            # Asked again for each file: another process may have fetched it while this one waited.
            target = download_path(entry, base, content)
            if find(entry, base, content) is not None:
                continue
            urls = [f"{mirror.rstrip('/')}/{target.name}" for mirror in mirrors or entry.mirrors]
            notes = download(
                client,
                urls,
                target,
                limit=content.size + (1 << 16),  # gzip adds a few bytes to what it cannot compress
                check=_checker(entry, content),
                advance=bar(target.name),
            )
            status = f"downloaded: {content.describe(content.sha256)}"
            done[str(target)] = FileReport(
                str(target), True, status, True, target.stat().st_size, content.sha256, notes
            )
    return _report(name, root, lambda e, c, path: done.get(str(path)) or _look(e, c, path))


_Describe = Callable[[Entry, Content, Path], FileReport]


def _report(name: str, root: Path | None, describe: _Describe) -> DatasetReport:
    """The report on a data set, with ``describe`` for each file that is there."""
    entry = PUBLISHED.get(checked_name(name))
    base = data_root(root)
    if entry is None:
        there, note = _BY_HAND.get(name, ((), ""))
        if not there:
            return DatasetReport(name, str(base), available=True, note=_NOTES.get(name, _OWN))
        note = f"no checksum of it is known here, so it is not downloaded; put it there yourself: {note}"
        return DatasetReport(name, str(base), any((base / one).exists() for one in there), note=note)
    found = [(content, find(entry, base, content)) for content in entry.contents]
    if entry.archive is not None and any(path is None for _, path in found):
        # The archive counts instead of the folder, unless the folder is complete: loading prefers the folder.
        found = [(entry.archive, find_archive(entry, base))]
    files = tuple(
        describe(entry, content, path) if path else _absent(download_path(entry, base, content))
        for content, path in found
    )
    return DatasetReport(name, str(base), all(file.ok for file in files), files, sources=entry.mirrors)


def _absent(path: Path) -> FileReport:
    return FileReport(str(path), present=False, status="missing", ok=False)


def _look(entry: Entry, content: Content, path: Path) -> FileReport:
    return FileReport(str(path), True, "present", True, path.stat().st_size)


def _identify(entry: Entry, content: Content, path: Path) -> FileReport:
    size = path.stat().st_size
    try:
        sha256 = _content_sha256(entry, content, path)
    except DataError as error:
        return FileReport(str(path), True, error.message.removeprefix(f"{path}: "), False, size)
    ok = sha256 == content.sha256
    if not entry.strict and content is not entry.archive:
        ok = ok or size == content.size
    return FileReport(str(path), True, content.describe(sha256), ok, size, sha256)


def _content_sha256(entry: Entry, content: Content, path: Path) -> str:
    """An archive is known by the hash of the file, anything else by that of its decompressed content."""
    return sha256_of(path, None if content is entry.archive else content.size)


def _checker(entry: Entry, content: Content) -> Callable[[Path], None]:
    def check(part: Path) -> None:
        sha256 = _content_sha256(entry, content, part)
        if sha256 != content.sha256:
            raise DataError(f"{part}: SHA-256 {sha256}, expected {content.sha256}")

    return check


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    """Lets one process at a time download below a root: two would damage each other's part file."""
    from filelock import FileLock, Timeout

    lock = FileLock(base / ".fetch.lock")
    try:
        base.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("waiting for another process that downloads into %s", base)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"{base}: cannot be written: {error.strerror or error}",
            "name another folder with --data-dir or $FEDSKEW_DATA",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _progress(show: bool) -> Iterator[Callable[[str], Advance]]:
    """A progress bar on stderr; gives a function that adds a file to it and returns its ``advance``."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:

        def add(name: str) -> Advance:
            task = bar.add_task(name, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield add
