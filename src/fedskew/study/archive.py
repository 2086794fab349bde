"""A study in one file: ``NAME.tar.xz`` with its ``study.toml`` and the records of its complete runs, no weights and no
checkpoints. It is what a report needs, at about a tenth of the size, and it is read where a study's folder is.

The same records give the same bytes. What comes out of one is bounded, and only files that a study has: nothing is
written elsewhere, whatever names a file from outside has.
"""

from __future__ import annotations

import atexit
import io
import lzma
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedskew.errors import RunError
from fedskew.files import replace_file
from fedskew.runs.folder import RUNS, RunFolder
from fedskew.study.source import ARCHIVE_ENDING, STUDY_FILE
from fedskew.study.stated import STATED

KEPT = ("config", "environment", "clients", "trigger", "rounds", "timings", "result")
"""Which files of a run, as ``RunFolder`` calls them."""
MAX_BYTES = 4 << 30
"""The most that an archive may hold, unpacked: 4 GiB."""

_NAMES = "|".join(re.escape(getattr(RunFolder(Path()), kept).name) for kept in KEPT)
_EXPECTED = re.compile(rf"{re.escape(STUDY_FILE)}|{re.escape(STATED)}|{RUNS}/[0-9a-f]{{12}}/(?:{_NAMES})")
_unpacked: dict[tuple[Path, int, int], Path] = {}
"""Archives that this process has read, by path, size and time; removed when it ends."""


def is_archive(path: Path) -> bool:
    """Whether this is a file that is called as an archive is."""
    return path.name.endswith(ARCHIVE_ENDING) and path.is_file()


def pack(folder: Path, runs: Sequence[str], file: Path) -> None:
    """Writes an archive, atomically.

    Args:
        folder: the study's.
        runs: the names of its complete runs.
        file: replaced if it exists.
    """
    content = io.BytesIO()
    with (
        lzma.open(content, "wb", preset=9 | lzma.PRESET_EXTREME) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in _kept(folder, runs):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            data = path.read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, content.getvalue())


def _kept(folder: Path, runs: Sequence[str]) -> Iterator[Path]:
    """The files that there are, those of one kind beside each other, which makes the archive smaller."""
    yield folder / STUDY_FILE
    if (folder / STATED).exists():  # when its claims were stated
        yield folder / STATED
    for kept in KEPT:
        for name in sorted(runs):
            if (path := getattr(RunFolder.below(folder, name), kept)).exists():
                yield path


def unpacked(file: Path) -> Path:
    """A folder with the content of an archive, for as long as this process lives.

    Raises:
        RunError: it is damaged, too large, or holds what is not a study's.
    """
    known = file.resolve(), (stat := file.stat()).st_size, stat.st_mtime_ns
    if known not in _unpacked:
        target = Path(tempfile.mkdtemp(prefix="fedskew-"))
        atexit.register(shutil.rmtree, target, ignore_errors=True)
        try:
            _unpack(file, target)
        except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise RunError(f"{file}: not a readable archive of a study: {error}") from error
        _unpacked[known] = target
    return _unpacked[known]


def _unpack(file: Path, target: Path) -> None:
    left = MAX_BYTES
    with tarfile.open(file, mode="r|xz") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is None or not _EXPECTED.fullmatch(entry.name):
                raise RunError(f"{file}: it holds {entry.name!r}, which is no record of a study")
            if (left := left - entry.size) < 0:
                raise RunError(f"{file}: it holds more than {MAX_BYTES >> 30} GiB")
            path = target / entry.name
            if path.exists():
                raise RunError(f"{file}: it holds {entry.name!r} twice")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as new:
                new.write(content.read())
    if not (target / STUDY_FILE).exists():
        raise RunError(f"{file}: it is no archive of a study: it has no {STUDY_FILE}")
