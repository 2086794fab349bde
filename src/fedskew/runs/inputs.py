"""The files beside the config that determine a run: plug-in code, a user's arrays, a trigger's mask.

A run's name does not know their content, so each run keeps their checksums, and a run whose inputs have changed
since is done again. Nothing is imported to find them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from fedskew.components.binding import components_of
from fedskew.components.table import BUILT_IN
from fedskew.config import Experiment


def input_checksums(experiment: Experiment) -> dict[str, str]:
    """Name -> SHA-256 of each such file that can be found."""
    found: dict[str, str] = {}
    for _, kind, component in components_of(experiment):
        label = component.label
        if label not in BUILT_IN[kind] and ":" in label:
            path = _source(label.partition(":")[0])
            if path is not None:
                found[f"{label.partition(':')[0]} ({path.name})"] = _sha256(path)
        options = component.options
        for value in (options, *options.values()):
            if (
                isinstance(value, dict)
                and isinstance(value.get("path"), str)
                and Path(value["path"]).is_file()
            ):
                found[value["path"]] = _sha256(Path(value["path"]))
    return found


def changed_inputs(folder: Path, experiment: Experiment) -> list[str]:
    """Which inputs have another content now than when the run in this folder was last worked on."""
    try:
        sittings: list[Any] = json.loads((folder / "environment.json").read_text(encoding="utf-8"))[
            "sittings"
        ]
        before: dict[str, str] = sittings[-1].get("inputs", {})
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return []
    now = input_checksums(experiment)
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
