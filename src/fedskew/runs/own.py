"""Whether the run in a folder is the one that is looked for there: a folder may have been copied over another one."""

from __future__ import annotations

from pathlib import Path

from fedskew.components.completed import Completed, completed
from fedskew.config import Experiment, to_plain
from fedskew.config.toml_io import read_toml, write_toml
from fedskew.errors import FedskewError, RunError
from fedskew.files import differences, is_file
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.runs.result import RunResult
from fedskew.runs.whole import changed


def read_own_result(folder: RunFolder, run: Completed) -> RunResult | None:
    """The result of a complete run; None if it is not complete.

    Raises:
        RunError: what is there is damaged, not what was written, or another run's.
    """
    result = folder.read_result()
    if result is not None:
        check_own(folder.config, run)
        if result.run not in ("", run.identity):
            raise changed(folder.result, "it is the result of another run")
    return result


def read_own_records(folder: RunFolder, run: Completed) -> list[RoundRecord]:
    """The records of all whole rounds of a run, complete or not.

    Raises:
        RunError: a line is damaged, or they are another run's.
    """
    if records := folder.read_records():
        check_own(folder.config, run)
    return records


def check_own(config: Path, run: Completed) -> None:
    """See that the config in a folder with rounds is that of a run.

    Raises:
        RunError: it is missing, or another run's.
    """
    if not is_file(config):
        raise changed(config, "it is missing")
    if lines := _other_config(config, run):
        raise RunError(
            f"{config.parent} holds a run of another config\n" + "\n".join(lines),
            "choose another folder, undo the change, or remove this one to do the run again",
        )


def _other_config(config: Path, run: Completed) -> list[str]:
    """How the config that a folder keeps differs from that of a run, one line for each field; empty where it is the
    same run's, in the words of another version too.

    Raises:
        FedskewError: the file cannot be read.
    """
    wanted = to_plain(run.experiment)
    if config.read_bytes() == write_toml(wanted).encode():
        return []
    stored = read_toml(config)
    try:
        if completed(Experiment.model_validate(stored), run.version).identity == run.identity:
            return []
    except (ValueError, FedskewError):  # a field that this version does not know
        pass
    return differences(stored, wanted)
