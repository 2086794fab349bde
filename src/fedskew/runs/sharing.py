"""Rounds that two runs have in common are done once.

Of two runs that differ in nothing but when they stop (or in what adversaries would do if there were any), the one that
stops later goes on from the last checkpoint of the other. Its records, weights and checkpoint are the same bytes as if
it had begun at the beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fedskew.components.binding import resolve
from fedskew.components.returned import checked_verdict
from fedskew.errors import FedskewError
from fedskew.federation.client_state import TABLE
from fedskew.federation.records import read_records, read_result
from fedskew.federation.world import World
from fedskew.files import replace_file
from fedskew.protocols import StoppingRule
from fedskew.runs.inputs import changed_inputs
from fedskew.runs.sessions import DECISIVE, describe_sitting, read_sittings, write_sittings

_log = logging.getLogger(__name__)


SAME_BYTES = (*DECISIVE, "torch", "numpy", "processor")
"""What must be the same here as where a relative was done: another library or processor may round differently."""


def adopt(folder: Path, world: World, relatives: Iterable[Path]) -> str | None:
    """Puts the state of the relative that has come furthest into a run's folder that has no checkpoint.

    Args:
        folder: of the run that is about to start; nobody else works in it.
        relatives: folders of runs with the same ``rounds_identity``. Those that are not complete, were done
            otherwise (engine, device, data, plug-ins, libraries, processor), went on for longer than this run will or
            kept their clients' states in files are passed over.

    Returns:
        The name of the relative; None if none serves.
    """
    others = [relative for relative in relatives if relative != folder]
    if not others or (folder / "checkpoint.safetensors").exists():
        return None
    here = describe_sitting(world, 0)
    found = {relative: _rounds_to_share(relative, world, here) for relative in others}
    relative = max(found, key=lambda r: found[r])
    if not found[relative]:
        return None
    # The checkpoint goes last: without it whatever else a kill leaves here counts for nothing and is written again.
    here |= {"from_round": found[relative], "shared_from": relative.name}
    write_sittings(folder, [*read_sittings(relative), here])
    for name in ("rounds.jsonl", "timings.jsonl", "checkpoint.safetensors"):
        replace_file(folder / name, (relative / name).read_bytes())
    _log.info("%s: the first %d rounds are those of %s", folder, found[relative], relative.name)
    return relative.name


def _rounds_to_share(relative: Path, world: World, here: Mapping[str, Any]) -> int:
    """How many rounds a run can take from a relative; 0 if it must begin at the beginning."""
    try:
        result, sittings = read_result(relative), read_sittings(relative)
        if result is None or not sittings or changed_inputs(relative, world.experiment):
            return 0
        if any(sittings[-1].get(key) != here[key] for key in SAME_BYTES):
            return 0
        records = read_records(relative)
        if len(records) > world.experiment.rounds:
            return 0
        if not len(records) == result.rounds == _round_of(relative / "checkpoint.safetensors"):
            return 0
        stopping: StoppingRule = resolve("stopping", world.experiment.stopping, "stopping")
        for number in range(1, len(records)):
            if checked_verdict(world.experiment.stopping.label, stopping(records[:number])).stop:
                return 0
        return len(records)
    except (FedskewError, OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        _log.info("%s cannot be gone on from: %s", relative, error)
        return 0


def _round_of(checkpoint: Path) -> int | None:
    """The round that a checkpoint is of; None if it names files of its clients' states instead of holding them, which
    went when its run was complete."""
    with safe_open(checkpoint, framework="pt") as file:
        if f"clients/{TABLE}" in file.keys():  # noqa: SIM118 - it is no mapping
            return None
        return int(file.metadata()["round"])
