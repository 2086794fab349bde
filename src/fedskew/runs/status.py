"""Whether a run is done, and if it is not, why; from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fedskew.components.completed import Completed
from fedskew.errors import FedskewError, RunError
from fedskew.files import read_lines
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import changed_inputs
from fedskew.wording import count

Status = Literal["done", "to do", "to do again"]


def status_of(folder: RunFolder, run: Completed, data_dir: Path | None = None) -> tuple[Status, str]:
    """Whether a run is done, and if not, why it must be done (again) and after which round it resumes.

    Args:
        data_dir: the data root, for files of the run's data; None for ``$FEDSKEW_DATA`` or the user's cache folder.
    """
    try:
        if changed := changed_inputs(folder, run, data_dir):
            return "to do again", f"{', '.join(changed)} changed since the last session"
        try:
            result = folder.read_result()
        except RunError as error:
            if error.hint is None:  # it may be whole, but cannot be read
                raise
            return "to do again", f"{folder.result.name} is damaged; remove {folder.name} to do the run again"
        if result is not None:
            why = result.stopped.partition(";")[0].partition(" (")[0]
            return "done", f"{count(result.rounds, 'round')}: {why}" + (
                ", diverged" if result.diverged else ""
            )
        rounds = len(read_lines(folder.rounds))
        reason = folder.read_failure()
        if reason is not None:
            return "to do again", f"failed after {count(rounds, 'round')}: {reason}"
        if rounds:
            saved = folder.read_saved_round()
            return "to do again", (
                f"interrupted; resumes after round {saved}"
                if saved
                else "interrupted before its first checkpoint"
            )
        return "to do", "not started"
    except FedskewError as error:
        return "to do again", str(error).splitlines()[0]
