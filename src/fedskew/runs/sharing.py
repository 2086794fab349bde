"""Rounds that two runs have in common are done once.

Of two runs that differ only in when they stop (or in what adversaries would do if there were any), the one that
stops later continues from the last checkpoint of the other. Its records, weights and checkpoint are the same bytes as
if it had done all rounds itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fedskew.components.returned import checked_verdict
from fedskew.errors import FedskewError, RunError
from fedskew.federation.client_state import TABLE
from fedskew.federation.records import as_ruled
from fedskew.federation.world import World
from fedskew.files import read_header, replace_file
from fedskew.runs.checkpoint import RECORDS, check_checkpoint
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import changed_inputs, input_checksums
from fedskew.runs.session import DECISIVE, ROUNDING, Session, session_here
from fedskew.runs.whole import changed, checksum_of

_log = logging.getLogger(__name__)


SAME_BYTES = (*DECISIVE, *ROUNDING, "identity_version")
"""What must be the same here as where a relative was done."""


def adopt(
    folder: RunFolder,
    world: World,
    relatives: Iterable[RunFolder],
    data_dir: Path | None = None,
    *,
    required: bool = False,
) -> str | None:
    """Put the state of the relative that has come furthest into a run's folder that has no checkpoint.

    Args:
        folder: of the run that is about to start; no other process works in it.
        relatives: folders of runs with the same ``rounds_identity``. Skipped if incomplete, done with another engine,
            device, data, version, plug-ins, libraries or processor, longer than this run, or with clients' states in
            files.
        data_dir: the data root, for files of the run's data; None for ``$FEDSKEW_DATA`` or the user's cache folder.
        required: whether it is an error if none serves.

    Returns:
        The name of the relative; None if none serves.

    Raises:
        RunError: none serves; says why.
    """
    others = [relative for relative in relatives if relative != folder]
    if not others or folder.checkpoint.exists():
        return None
    here = session_here(world, 0, input_checksums(world.completed, data_dir))
    found: dict[RunFolder, int] = {}
    reasons = []
    for relative in others:
        try:
            found[relative] = _rounds_to_share(relative, world, here, data_dir)
        except (FedskewError, OSError, KeyError, TypeError, ValueError) as error:
            reasons.append(error.message if isinstance(error, FedskewError) else str(error))
            _log.info("the rounds of %s cannot be shared: %s", relative.path, reasons[-1])
    if not found:
        if required:
            raise RunError(
                f"{folder.path} cannot continue from {others[0].path}: {reasons[0]}",
                "without `--extend` it does all rounds itself",
            )
        return None
    relative = max(found, key=lambda r: found[r])
    here = replace(here, from_round=found[relative], shared_from=relative.name)
    folder.write_sessions([*relative.read_sessions(), here])
    # The checkpoint goes last: without it, other files that a kill leaves here are ignored and written again.
    replace_file(folder.rounds, relative.rounds.read_bytes())
    replace_file(folder.timings, relative.timings.read_bytes())
    replace_file(folder.checkpoint, relative.checkpoint.read_bytes())
    _log.info("%s: the first %d rounds are those of %s", folder.path, found[relative], relative.name)
    return relative.name


def _rounds_to_share(relative: RunFolder, world: World, here: Session, data_dir: Path | None) -> int:
    """How many rounds a run can take from a relative.

    Raises:
        RunError: it must do all of them; says why.
        OSError, KeyError, TypeError, ValueError: a file is missing or damaged.
    """
    result, sessions, limit = relative.read_result(), relative.read_sessions(), world.experiment.rounds
    if result is None:
        raise RunError("it is not complete")
    if not sessions:
        raise RunError(f"it has no {relative.environment.name}, which says how it was done")
    if inputs := changed_inputs(relative, world.completed, data_dir):
        raise RunError(f"{', '.join(inputs)} changed since it was done")
    if (key := sessions[-1].differs_in(here, SAME_BYTES)) is not None:
        if getattr(sessions[-1], key) is None:
            raise RunError("it was done by an earlier version, which did not say how its code was compiled")
        raise RunError(f"its {key} was {getattr(sessions[-1], key)!r} and is now {getattr(here, key)!r}")
    records = relative.read_records()
    if len(records) > limit:
        raise RunError(f"it has {len(records)} rounds, and this run ends after {limit}")
    if not len(records) == result.rounds == _round_of(relative):
        raise RunError("its records and its checkpoint are not of the same round")
    history = [as_ruled(record) for record in records]
    for number in range(1, len(records) + 1):
        verdict = checked_verdict(world.experiment.stopping.label, world.stopping(history[:number]))
        if verdict.stop and number < len(records):
            raise RunError(f"it has {len(records)} rounds, and the rule of this run stops after {number}")
    ends = verdict.stop or len(records) == limit
    if not ends and _more_at_the_end(world, len(records)):
        raise RunError(
            "its last round has what only the last round of a run measures: of observers, privacy attacks or "
            "held-out data"
        )
    return len(records)


def _more_at_the_end(world: World, last: int) -> bool:
    """Whether a run that ends with this round measures more in it than one that continues."""
    held_out = bool(world.held_out.places) and last % world.experiment.evaluation.every != 0
    return held_out or bool(world.observers) or bool(world.privacy_attacks)


def _round_of(relative: RunFolder) -> int:
    """The round that a run's checkpoint is of.

    Raises:
        RunError: there is none, or it is not that of the run's records, or it names files of its clients' states
            instead of holding them, which were removed when its run was complete.
    """
    checkpoint = relative.checkpoint
    if not checkpoint.exists():
        raise RunError(f"it has no {checkpoint.name}")
    if f"clients/{TABLE}" in read_header(checkpoint):
        raise RunError(
            "the states of its clients were in files, which are gone (`--client-state memory` keeps them)"
        )
    metadata = check_checkpoint(checkpoint)
    if metadata.get(RECORDS, "") not in ("", checksum_of(relative.rounds)):
        raise changed(relative.rounds, f"its checksum is not the one in {checkpoint.name}")
    return int(metadata["round"])
