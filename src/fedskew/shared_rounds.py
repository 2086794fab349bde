"""Rounds that two runs have in common are done once.

Of two runs that differ in nothing but when they stop, the one that stops later goes on from the last checkpoint of
the other. Its records, weights and checkpoint are the same bytes as if it had begun at the beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from fedskew.checks import checked_verdict
from fedskew.client_state import TABLE
from fedskew.components import resolve
from fedskew.errors import FedskewError
from fedskew.files import replace_file
from fedskew.inputs import changed_inputs
from fedskew.protocols import StoppingRule
from fedskew.records import read_records
from fedskew.sittings import DECISIVE, describe_sitting, read_sittings, write_sittings
from fedskew.world import World

_log = logging.getLogger(__name__)


def adopt(folder: Path, world: World, relatives: Iterable[Path]) -> str | None:
    """Puts the state of the relative that has come furthest into a run's folder that has no checkpoint.

    Args:
        folder: of the run that is about to start; nobody else works in it.
        relatives: folders of runs with the same ``rounds_identity``. Those that are not complete, were done
            otherwise (engine, device, data, plug-ins) or went on for longer than this run will are passed over.

    Returns:
        The name of the relative; None if none serves.
    """
    if (folder / "checkpoint.safetensors").exists():
        return None
    found = {relative: _rounds_to_share(relative, world) for relative in relatives if relative != folder}
    relative = max(found, key=lambda r: found[r], default=None)
    if relative is None or not found[relative]:
        return None
    # The checkpoint goes last: without it whatever else a kill leaves here counts for nothing and is written again.
    write_sittings(folder, read_sittings(relative))
    for name in ("rounds.jsonl", "timings.jsonl", "checkpoint.safetensors"):
        if (relative / name).exists():
            replace_file(folder / name, (relative / name).read_bytes())
    _log.info("%s: the first %d rounds are those of %s", folder, found[relative], relative.name)
    return relative.name


def _rounds_to_share(relative: Path, world: World) -> int:
    """How many rounds a run can take from a relative; 0 if it must begin at the beginning."""
    try:
        if not (relative / "result.json").exists() or changed_inputs(relative, world.experiment):
            return 0
        here = describe_sitting(world, 0)
        if any(sitting.get(key) != here[key] for sitting in read_sittings(relative)[-1:] for key in DECISIVE):
            return 0
        records = read_records(relative)
        if len(records) > world.experiment.rounds or not _holds_everything(
            relative / "checkpoint.safetensors"
        ):
            return 0
        stopping: StoppingRule = resolve("stopping", world.experiment.stopping, "stopping")
        for number in range(1, len(records)):
            if checked_verdict(world.experiment.stopping.label, stopping(records[:number])).stop:
                return 0
        return len(records)
    except (FedskewError, OSError, SafetensorError) as error:
        _log.info("%s cannot be gone on from: %s", relative, error)
        return 0


def _holds_everything(checkpoint: Path) -> bool:
    """Whether a checkpoint holds its clients' states, rather than naming files that went when its run was complete."""
    with safe_open(checkpoint, framework="pt") as file:
        return f"clients/{TABLE}" not in file.keys()  # noqa: SIM118 - it is no mapping
