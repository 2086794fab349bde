"""What is checked before the first run of a study starts: results of an earlier version, impossible options, attacks
that do not fit, no data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedskew.components.binding import check_experiment, components_of
from fedskew.components.identity import VERSION
from fedskew.components.known import is_built_in, values_of
from fedskew.components.values import check_values
from fedskew.config import Execution
from fedskew.config.origin import blamed
from fedskew.errors import RunError
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import each_read_once
from fedskew.runs.status import status_of
from fedskew.study.grid import PlannedRun
from fedskew.wording import count

if TYPE_CHECKING:
    from fedskew.protocols import DatasetInfo


def refuse_impossible(path: Path, wanted: Sequence[PlannedRun], data_dir: Path | None = None) -> None:
    """Check every option of the wanted runs that are not done against its component, which is imported for it; runs
    that are done need no plug-in any more.

    Args:
        path: the study's folder, which need not exist.
        data_dir: the data root; None for ``$FEDSKEW_DATA`` or the user's cache folder.

    Raises:
        ConfigError: an option has an impossible value; says where it stands.
        RunError: they are runs of an earlier version, which cannot be done here.
    """
    with each_read_once():
        missing = [
            plan
            for plan in wanted
            if status_of(RunFolder.below(path, plan.identity), plan.completed, data_dir)[0] != "done"
        ]
    _refuse_earlier(path, missing)
    for plan in missing:
        with blamed(plan.origin):
            check_experiment(plan.experiment)


def _refuse_earlier(path: Path, missing: Sequence[PlannedRun]) -> None:
    """Refuses runs of a version whose numbers cannot be computed any more."""
    earlier = {plan.identity: plan.completed.version for plan in missing if plan.completed.version != VERSION}
    if earlier:
        raise RunError(
            f"{count(len(earlier), 'missing run')} cannot be added to {path}: the study's results are those of "
            f"an earlier version of fedskew (`results = {min(earlier.values())}`), whose numbers differ from those of "
            "this version by rounding",
            f"start a new folder with `--out FOLDER --set results={VERSION}`",
        )


def prepare_data(wanted: Sequence[PlannedRun], execution: Execution) -> None:
    """Get every built-in data set once, so that workers find it and a download shows one progress bar; and refuse an
    attack that does not fit its data set (a target class that does not exist), components that do not work with what it
    is made of, clients that it or a file does not have, and a defence that needs more updates than there are clients
    with data.

    Raises:
        ConfigError: an attack, a split or a defence does not fit; says where it stands.
        DataError: the data cannot be had.
    """
    from fedskew import datasets  # lazy: brings NumPy and scikit-learn
    from fedskew.components.attacking import attack_in  # lazy: brings PyTorch
    from fedskew.federation.world import load_data  # lazy: brings PyTorch
    from fedskew.study.foreseen import refuse_fixed_splits, refuse_too_few  # lazy: brings PyTorch

    infos: dict[str, DatasetInfo] = {}
    tried: set[tuple[str, ...]] = set()
    for plan in wanted:
        data, attack = plan.experiment.data, plan.experiment.attack
        if not isinstance(data.name, str) or data.name not in datasets.names():
            continue
        with blamed(plan.origin):  # what is known of it without reading it
            check_values(plan.experiment, components_of(plan.experiment), data.label, values_of(data))
        key, check = data.model_dump_json(), is_built_in("attack", attack)
        if key not in infos and (check or datasets.where(data.name, execution.data_dir).sources):
            infos[key] = load_data(plan.experiment, execution).info
        both = (
            key,
            attack.model_dump_json(),
            plan.experiment.defence.model_dump_json(),
            plan.experiment.adversaries.model_dump_json(),
        )
        if check and both not in tried:
            tried.add(both)
            with blamed(plan.origin):
                check_values(
                    plan.experiment, components_of(plan.experiment), data.label, (infos[key].values,)
                )
                attack_in(plan.experiment, infos[key])
    known = [plan for plan in wanted if plan.experiment.data.name in datasets.names()]
    refuse_fixed_splits(known, execution)
    refuse_too_few(known, execution)
