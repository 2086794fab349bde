"""A study in one file: ``NAME.tar.xz`` with its ``study.toml`` and the records of its complete runs, no weights and no
checkpoints. It is what a report needs, at about a tenth of the size, and it is read where a study's folder is.

The same records give the same bytes. What comes out of one is bounded, in memory too, and only files that a study has:
nothing is written elsewhere, whatever names a file from outside has. Headers are read here, one block at a time, and
not by ``tarfile.open``, which reads an extended header whole, whatever its size, and takes a cut for the end.
"""

from __future__ import annotations

import atexit
import errno
import io
import lzma
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from fedskew.errors import RunError
from fedskew.files import replace_file
from fedskew.reading import open_file
from fedskew.runs.folder import RUNS, RunFolder
from fedskew.study.source import ARCHIVE_ENDING, STUDY_FILE
from fedskew.study.stated import STATED

KEPT = ("config", "environment", "clients", "trigger", "rounds", "timings", "result")
"""Which files of a run, as ``RunFolder`` calls them."""
MAX_BYTES = 4 << 30
"""The most that an archive may hold, decompressed: 4 GiB."""
MAX_MEMORY = 256 << 20
"""The most that decompression may take: 256 MiB. What ``pack`` writes needs 65 MiB."""
PIECE = 1 << 20
"""Bytes that are in memory at a time: 1 MiB."""
_FILE = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.GNUTYPE_SPARSE,
)

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

    Raises:
        RunError: a record cannot be read, or the archive cannot be written there.
    """
    try:  # before the compression, which takes its time
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise _unwritable(file, error) from None
    content = io.BytesIO()
    with (
        lzma.open(content, "wb", preset=9 | lzma.PRESET_EXTREME) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,  # no extended headers
    ):
        for path in _kept(folder, runs):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            try:
                data = path.read_bytes()
            except OSError as error:
                raise RunError(f"{path} cannot be read: {error.strerror or error}") from None
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    try:
        replace_file(file, content.getvalue())
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError) -> RunError:
    return RunError(f"{file} cannot be written: {error.strerror or error}")


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
        RunError: it is damaged, cut short, too large, or holds what is not a study's.
    """
    known = file.resolve(), (stat := file.stat()).st_size, stat.st_mtime_ns
    if known not in _unpacked:
        with ExitStack() as removal:
            target = Path(tempfile.mkdtemp(prefix="fedskew-"))
            removal.callback(shutil.rmtree, target, ignore_errors=True)
            try:
                _unpack(file, target)
            except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, OverflowError) as error:
                raise RunError(f"{file}: not a readable archive of a study: {error}") from error
            atexit.register(removal.pop_all().close)
        _unpacked[known] = target
    return _unpacked[known]


class _Bounded:
    """What an archive decompresses to. It fails where the file ends before its compressed stream does, and once more
    than ``MAX_BYTES`` have come out."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path, self.left = stream, path, MAX_BYTES
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)

    def too_large(self) -> RunError:
        """What to tell of an archive that holds too much."""
        return RunError(f"{self._path}: it holds more than {MAX_BYTES >> 30} GiB")

    def some(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end of the file, which is that of the stream too."""
        while not self._decompressor.eof:
            data = b""
            if self._decompressor.needs_input and not (data := self._stream.read(PIECE)):
                raise EOFError("it is cut short")
            if piece := self._decompressor.decompress(data, most):
                self.left -= len(piece)
                if self.left < 0:
                    raise self.too_large()
                return piece
        if self._decompressor.unused_data or self._stream.read(1):
            raise ValueError("there is more after its end")
        return b""

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes, a piece at a time."""
        while size > 0:
            if not (piece := self.some(min(size, PIECE))):
                raise EOFError("it is cut short")
            size -= len(piece)
            yield piece

    def block(self) -> bytes:
        """The next block of a tar file."""
        return b"".join(self.pieces(tarfile.BLOCKSIZE))


def _unpack(file: Path, target: Path) -> None:
    with open_file(file) as stream:
        content = _Bounded(stream, file)
        while (block := content.block()).strip(b"\0"):
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if entry.type in _EXTENDED:
                raise ValueError("it has an extended header (pax or GNU), which `fedskew pack` never writes")
            if entry.type not in _FILE or not _EXPECTED.fullmatch(entry.name):
                raise RunError(f"{file}: it holds {entry.name!r}, which is no record of a study")
            if entry.size < 0:
                raise ValueError(f"{entry.name} has a size below 0")
            if entry.size > content.left:
                raise content.too_large()
            path = target / entry.name
            if path.exists():
                raise RunError(f"{file}: it holds {entry.name!r} twice")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as new:
                for piece in content.pieces(entry.size):
                    new.write(piece)
            for _ in content.pieces(-entry.size % tarfile.BLOCKSIZE):
                pass  # up to a whole block
        if content.block().strip(b"\0"):  # two empty blocks are the end
            raise ValueError("it has no end")
        while piece := content.some(PIECE):
            if piece.strip(b"\0"):
                raise ValueError("there is more after its end")
    if not (target / STUDY_FILE).exists():
        raise RunError(f"{file}: it is no archive of a study: it has no {STUDY_FILE}")
