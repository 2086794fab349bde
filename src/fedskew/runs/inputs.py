"""The files besides the config that determine a run: plug-in code, a user's arrays, a trigger's mask.

A run's name does not depend on their content, so each run keeps their checksums, and a run whose inputs have changed
is done again. Nothing is imported to find them.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from fedskew.components.binding import components_of
from fedskew.components.completed import Completed
from fedskew.components.known import facts_of
from fedskew.components.table import BUILT_IN
from fedskew.errors import RunError
from fedskew.runs.folder import RunFolder


def input_checksums(run: Completed) -> dict[str, str]:
    """Name -> SHA-256 of each such file that can be found."""
    found: dict[str, str] = {}
    for _, kind, component in components_of(run.experiment):
        label = component.label
        if label not in BUILT_IN[kind] and ":" in label:
            path = _source(label.partition(":")[0])
            if path is not None:
                found[f"{label.partition(':')[0]} ({path.name})"] = _sha256(path)
        options = component.options
        named = [options.get(option) for option in facts_of(kind, component).files]
        # What a plug-in holds inside an option, as an attack its trigger, is not known as a component.
        named += [value.get("path") for value in options.values() if isinstance(value, dict)]
        for path in named:
            if isinstance(path, str) and Path(path).expanduser().is_file():
                found[path] = _sha256(Path(path).expanduser())
    return found


def changed_inputs(folder: RunFolder, run: Completed) -> list[str]:
    """Which inputs have another content now than in the last session of the run in this folder."""
    try:
        sessions = folder.read_sessions()
    except RunError:
        return []
    if not sessions:
        return []
    before, now = sessions[-1].inputs, input_checksums(run)
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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
