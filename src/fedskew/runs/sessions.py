"""The sittings a run was done in, one after the other: ``environment.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedskew.components.identity import VERSION
from fedskew.errors import RunError
from fedskew.files import replace_file, to_json
from fedskew.runs.environment import describe
from fedskew.runs.inputs import input_checksums

if TYPE_CHECKING:
    from fedskew.federation.world import World

DECISIVE = ("engine", "device", "identity_version", "data")
"""What a run's records depend on beside its config: where one of them differs, a run is not gone on with."""


def read_sittings(folder: Path) -> list[dict[str, Any]]:
    """What is noted of a run's sittings, the first one first; empty if nothing is.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / "environment.json"
    if not path.exists():
        return []
    try:
        return [dict(sitting) for sitting in json.loads(path.read_text(encoding="utf-8"))["sittings"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}", f"remove {folder} to do the run again") from None


def write_sittings(folder: Path, sittings: Sequence[Mapping[str, Any]]) -> None:
    """Replaces the file atomically."""
    replace_file(folder / "environment.json", to_json({"sittings": sittings}, indent=1))


def describe_sitting(world: World, round_number: int) -> dict[str, Any]:
    """The sitting that begins now, behind a round."""
    return describe(world.engine.name, str(world.device), world.engine.workers) | {
        "engine_reason": world.engine_reason,
        "from_round": round_number,
        "identity_version": VERSION,
        "data": list(world.dataset.info.provenance),
        "inputs": input_checksums(world.experiment),
    }


def note_sitting(folder: Path, world: World, round_number: int) -> None:
    """Adds this sitting, and refuses to go on with another engine, device or other data: the records would be those
    of neither. Sittings that have left no round behind are not kept.

    Raises:
        RunError: something decisive differs from the last sitting.
    """
    sittings = read_sittings(folder) if round_number else []
    here = describe_sitting(world, round_number)
    if sittings:
        for key in DECISIVE:
            if sittings[-1].get(key) != here[key]:
                raise RunError(
                    f"{folder} was begun with {key} {sittings[-1].get(key)!r}, this would go on with {here[key]!r}",
                    f"go on with the same {key}, or use another folder",
                )
    write_sittings(folder, [*sittings, here])


def shared_rounds_of(sittings: Sequence[Mapping[str, Any]]) -> int:
    """How many of a run's rounds were done by another run, whose name is then the sitting's ``shared_from``."""
    return max((int(s["from_round"]) for s in sittings if s.get("shared_from")), default=0)
