"""The files besides the config that determine a run: plug-in code, a user's data, a trigger's mask.

A run's name does not depend on their content, so each run keeps their checksums, and a run whose inputs have changed
is done again. Nothing is imported to find them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import PathFinder
from pathlib import Path

from fedskew.components.binding import components_of
from fedskew.components.completed import Completed
from fedskew.components.known import facts_of
from fedskew.components.table import BUILT_IN
from fedskew.datasets.locate import data_root, located
from fedskew.errors import DataError, RunError
from fedskew.reading import open_file
from fedskew.runs.folder import RunFolder

_KNOWN: ContextVar[dict[Path, str] | None] = ContextVar("known", default=None)


@contextmanager
def each_read_once() -> Iterator[None]:
    """Inside, every file and folder is read once only, for many runs whose status is looked at in one go."""
    outer = _KNOWN.get()
    token = _KNOWN.set({} if outer is None else outer)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def input_checksums(run: Completed, data_dir: Path | None = None) -> dict[str, str]:
    """Name -> SHA-256 of each such file or folder that can be found.

    A data set's are looked for where its loader does: from the current folder, or else from the data root. The
    checksum of a folder is that of the files that the loader reads: for each, in the order of their names as bytes of
    UTF-8, its name below the folder (with ``/``), a zero byte and its own SHA-256. What a data set without ``path``
    reads in the data root is named by its place there.

    Args:
        data_dir: the data root; None for ``$FEDSKEW_DATA`` or the user's cache folder.

    Raises:
        DataError: one cannot be read.
    """
    found: dict[str, str] = {}
    for _, kind, component in components_of(run.experiment):
        label = component.label
        if label not in BUILT_IN[kind] and ":" in label:
            path = _source(label.partition(":")[0])
            if path is not None:
                found[f"{label.partition(':')[0]} ({path.name})"] = _sha256(path)
        options, facts = component.options, facts_of(kind, component)
        named = [options.get(option) for option in facts.files]
        # What a plug-in holds inside an option, as an attack its trigger, is not known as a component.
        named += [value.get("path") for value in options.values() if isinstance(value, dict)]
        for path in named:
            if not isinstance(path, str):
                continue
            place = located(data_root(data_dir), path) if kind == "dataset" else Path(path).expanduser()
            if place.is_file():
                found[path] = _sha256(place)
            elif facts.reads is not None and place.is_dir():
                found[path] = _sha256_of_folder(place, facts.reads)
        if facts.at_root is not None:
            root = data_root(data_dir)
            files = [file for file in facts.at_root(root, options) if file.is_file()]
            found |= {file.relative_to(root).as_posix(): _sha256(file) for file in files}
    return found


def changed_inputs(folder: RunFolder, run: Completed, data_dir: Path | None = None) -> list[str]:
    """Which inputs have another content now than in the last session of the run in this folder.

    Args:
        data_dir: as of ``input_checksums``.

    Raises:
        DataError: one cannot be read.
    """
    try:
        sessions = folder.read_sessions()
    except RunError:
        return []
    if not sessions:
        return []
    before, now = sessions[-1].inputs, input_checksums(run, data_dir)
    return sorted(name for name, checksum in now.items() if before.get(name, checksum) != checksum)


def _source(module: str) -> Path | None:
    """The file of a module, found as ``import`` would find it, without importing a parent package."""
    places: list[str] | None = [*sys.path, str(Path.cwd())]
    origin = None
    for depth in range(1, module.count(".") + 2):
        spec = PathFinder.find_spec(".".join(module.split(".")[:depth]), places)
        if spec is None:
            return None
        origin, places = spec.origin, spec.submodule_search_locations
    return Path(origin) if origin is not None and Path(origin).is_file() else None


def _sha256(path: Path) -> str:
    return _once(path, lambda: _digest(path).hex())


def _sha256_of_folder(folder: Path, reads: Callable[[Path], Iterable[Path]]) -> str:
    def computed() -> str:
        try:
            files = {
                file.relative_to(folder).as_posix().encode(errors="surrogateescape"): file
                for file in reads(folder)
            }
        except OSError as error:
            raise _unreadable(folder, error) from error
        whole = hashlib.sha256()
        for name, file in sorted(files.items()):
            whole.update(name + b"\0" + _digest(file))
        return whole.hexdigest()

    return _once(folder, computed)


def _once(path: Path, computed: Callable[[], str]) -> str:
    """The checksum of a path, taken from those that are known inside ``each_read_once``."""
    known = _KNOWN.get()
    if known is None:
        return computed()
    place = path.absolute()
    if place not in known:
        known[place] = computed()
    return known[place]


def _digest(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read: {error.strerror or error}")
