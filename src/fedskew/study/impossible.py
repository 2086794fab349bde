"""What is checked before the first run of a study starts: impossible options, attacks that do not fit, no data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedskew.components.binding import build_attack, check_experiment
from fedskew.components.known import is_built_in
from fedskew.config import Execution
from fedskew.config.origin import blamed
from fedskew.runs.folder import RunFolder
from fedskew.runs.status import status_of
from fedskew.study.grid import PlannedRun

if TYPE_CHECKING:
    from fedskew.protocols import DatasetInfo


def refuse_impossible(path: Path, wanted: Sequence[PlannedRun]) -> None:
    """Check every option of the wanted runs that are not done against its component, which is imported for it; runs
    that are done need no plug-in any more.

    Args:
        path: the study's folder, which need not exist.

    Raises:
        ConfigError: an option has an impossible value; says where it stands.
    """
    for plan in wanted:
        if status_of(RunFolder.below(path, plan.identity), plan.completed)[0] != "done":
            with blamed(plan.origin):
                check_experiment(plan.experiment)


def prepare_data(wanted: Sequence[PlannedRun], execution: Execution) -> None:
    """Get every built-in data set once, so that workers find it and a download shows one progress bar; and refuse an
    attack that does not fit its data set (a target class that does not exist), and a defence that needs more updates
    than there are clients with data.

    Raises:
        ConfigError: an attack or a defence does not fit; says where it stands.
        DataError: the data cannot be had.
    """
    from fedskew import datasets  # lazy: brings NumPy and scikit-learn
    from fedskew.federation.world import load_data  # lazy: brings PyTorch
    from fedskew.study.foreseen import refuse_too_few  # lazy: brings PyTorch

    infos: dict[str, DatasetInfo] = {}
    tried = set()
    for plan in wanted:
        data, attack = plan.experiment.data, plan.experiment.attack
        if not isinstance(data.name, str) or data.name not in datasets.names():
            continue
        key, check = data.model_dump_json(), is_built_in("attack", attack)
        if key not in infos and (check or datasets.where(data.name, execution.data_dir).sources):
            infos[key] = load_data(plan.experiment, execution).info
        if check and (both := (key, attack.model_dump_json())) not in tried:
            tried.add(both)
            with blamed(plan.origin):
                build_attack(attack, infos[key])
    refuse_too_few([plan for plan in wanted if plan.experiment.data.name in datasets.names()], execution)
