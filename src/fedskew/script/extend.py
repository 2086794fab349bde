"""Runs of another folder that new ones continue from, instead of doing the same rounds again (``runs.sharing``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedskew.components.completed import Completed
from fedskew.config import Experiment, to_plain
from fedskew.config.toml_io import read_toml
from fedskew.errors import ConfigError, FedskewError
from fedskew.files import differences
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder, is_study, studies_folder
from fedskew.study.grid import PlannedRun
from fedskew.study.missing import rounds_kept_in
from fedskew.terminal.say import show
from fedskew.wording import count

WHAT = "only `rounds` and `stopping` may differ"


def runs_to_extend(name: str | Path) -> list[RunFolder]:
    """The complete runs of a study, by its folder or its name below ``studies/``, or that of a single run's folder.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    single = RunFolder(path)
    if single.config.is_file() and not is_study(path):
        if not single.result.exists():
            raise ConfigError(
                f"{path} is not complete, so that no run can continue from it", "rerun its command first"
            )
        return [single]
    place = path if is_study(path) else studies_folder(str(name))
    found = [folder for folder in RunFolder.all_below(place) if folder.result.exists()]
    if not found:
        raise ConfigError(
            f"{name} has no complete run to continue from; expected a run's folder, a study's folder or its name"
        )
    return found


def run_to_extend(run: Completed, name: str | Path) -> list[RunFolder]:
    """Those of ``runs_to_extend`` that have the rounds of a run.

    Raises:
        ConfigError: there is none; says what differs.
    """
    others = runs_to_extend(name)
    found = [folder for folder in others if rounds_kept_in(folder) == run.rounds_identity]
    if not found:
        changed = _changed(others[0], run) if len(others) == 1 else []
        raise ConfigError(
            f"no run in {name} has the rounds of this one" + "".join(f"\n{line}" for line in changed),
            WHAT,
        )
    return found


def rounds_in_common(missing: Sequence[PlannedRun], extend: Sequence[RunFolder]) -> list[RunFolder]:
    """Those folders whose runs have the rounds of a missing one.

    Raises:
        ConfigError: there are folders, and none of them has.
    """
    wanted = {plan.completed.rounds_identity for plan in missing}
    found = [folder for folder in extend if rounds_kept_in(folder) in wanted]
    if extend and missing and not found:
        place = extend[0].path.parent.parent if len(extend) > 1 else extend[0].path
        raise ConfigError(
            f"no run in {place} has the rounds of one of the {count(len(missing), 'missing run')}", WHAT
        )
    return found


def tell_of_extended(folder: StudyFolder, missing: Sequence[PlannedRun], extend: Sequence[RunFolder]) -> None:
    """Says how many of the runs that were missing took rounds from elsewhere."""
    if not extend:
        return
    names = {one.name for one in extend}
    sessions = [folder.run_folder(plan).read_sessions() for plan in missing]
    took = sum(any(session.shared_from in names for session in each) for each in sessions)
    show(
        f"note: {took} of {count(len(missing), 'run')} continued from a run elsewhere"
        + ("" if took else "; another engine, version or processor rounds differently"),
        err=True,
    )


def _changed(folder: RunFolder, run: Completed) -> list[str]:
    """Where the config in a folder and that of a run differ, besides in when they stop."""
    try:
        stored = to_plain(Experiment.model_validate(read_toml(folder.config)))
    except (FedskewError, ValueError):
        return []
    wanted = to_plain(run.experiment)
    unsaid = ("rounds", "stopping")
    first, second = ({k: v for k, v in one.items() if k not in unsaid} for one in (stored, wanted))
    return differences(first, second)
