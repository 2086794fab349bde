"""``fedskew.run_study`` and ``fedskew.run``: what the commands ``study`` and ``run`` do, from Python."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedskew.components.binding import components_of
from fedskew.components.completed import Completed, completed
from fedskew.components.permission import allowed
from fedskew.config import ClientStatePlace, EngineName, Experiment, default_workers
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError
from fedskew.frames.loaded import Results, load
from fedskew.runs.events import Ended, Reporter, Started
from fedskew.runs.execute import execute
from fedskew.runs.folder import RunFolder
from fedskew.runs.status import status_of
from fedskew.script.doing import do_study
from fedskew.script.extend import run_to_extend, runs_to_extend
from fedskew.script.how import How
from fedskew.study.folder import studies_folder
from fedskew.study.grid import Study, planned_runs
from fedskew.study.source import Source, as_begun, as_study, find_config
from fedskew.terminal.progress import display
from fedskew.trackers.tracking import TrackedRun, check_trackers, tracking
from fedskew.wording import count


def run_study(
    study: Study | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    jobs: int | None = None,
    only: str | Sequence[str] = (),
    device: str = "cpu",
    engine: EngineName = "auto",
    client_state: ClientStatePlace = "auto",
    checkpoint_every: float = 1.0,
    data_dir: str | Path | None = None,
    offline: bool = False,
    trackers: str | Sequence[str] = (),
    extend: str | Path | None = None,
    on: str | None = None,
    gpu_share: float | None = None,
    shard: str | None = None,
    reuse: str | Path | Sequence[str | Path] = (),
    quiet: bool = False,
) -> Results:
    """Run what is missing from a study, on worker processes, and load its results. Call it again to resume.

    It needs no ``if __name__ == "__main__"``: workers do not import the script. So a component that the script itself
    defines cannot be used; one in a module beside it can, by ``"module:function"`` after ``allow_plugin("module")``.

    Args:
        study: a ``Study``, its content, or the name of a preset, a ``.toml`` file or a study's folder.
        out: its folder; default: ``studies/NAME``.
        jobs: processes, one thread each; default: the cores, up to 4 on a GPU.
        only: ``"AXIS=LABEL"``, as of the command; one or several, as ``trackers`` and ``reuse``.
        trackers: as ``--track``.
        extend: another study or a run to continue from, as ``--extend``.
        on: where to run, as ``--on`` (a Ray cluster).
        gpu_share: as ``--gpu-share``.
        shard: ``"NUMBER/OF"``, only this part of the runs, as ``--shard``.
        reuse: other studies whose complete runs are copied instead of done again, as ``--reuse``.
        quiet: show no progress.

    Returns:
        The results; a run that failed has this status there, and a warning names how many there are.

    Raises:
        FedskewError: nothing can be done; one sentence.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     results = run_study({"name": "mine", "seeds": [0, 1], "base": {"rounds": 1}}, folder, quiet=True)
    ...     len(results.runs)
    2
    """
    source = _study_source(study)
    record = as_study(source) if not isinstance(study, Study) else study
    for plan in planned_runs(record, source.origin):
        _refuse_own(plan.completed)
    how = How(
        jobs,
        device,
        engine,
        client_state,
        checkpoint_every,
        None if data_dir is None else Path(data_dir),
        offline,
        plugins=allowed(),
        trackers=_each(trackers),
        quiet=quiet,
        extend=() if extend is None else runs_to_extend(extend),
        on=on,
        gpu_share=gpu_share,
        shard=shard,
        reuse=tuple(map(str, _each(reuse))),
    )
    place = Path(out) if out is not None else source.folder or studies_folder(record.name)
    ran = do_study(record, source, place, _each(only), how)
    if ran.failed:
        plan, reason = ran.failed[0]
        warnings.warn(
            f"{len(ran.failed)} of {count(len(ran.wanted), 'run')} failed; {plan.title}: {reason.splitlines()[0]}",
            RuntimeWarning,
            stacklevel=2,
        )
    return load(place, data_dir=data_dir)


def run(
    experiment: Experiment | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    engine: EngineName = "auto",
    client_state: ClientStatePlace = "auto",
    checkpoint_every: float = 1.0,
    data_dir: str | Path | None = None,
    offline: bool = False,
    trackers: str | Sequence[str] = (),
    extend: str | Path | None = None,
    quiet: bool = False,
) -> Results:
    """Run one experiment in this process, in a folder, and load its results. Call it again to resume.

    ``simulate`` does the same without a folder.

    Args:
        experiment: an ``Experiment``, its content, or the name of a preset or a ``.toml`` file.
        out: its folder; default: ``runs/NAME-HASH``.
        threads: cores to use; default: all, or 1 on a GPU.
        trackers: as ``--track``.
        extend: a run, or a study with one, to continue from, as ``--extend``.
        quiet: show no progress.

    Raises:
        FedskewError: the experiment cannot be done; one sentence.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     results = run({"rounds": 1}, folder + "/run", quiet=True)
    ...     results.runs["rounds"].tolist()
    [1]
    """
    how = How(
        None,
        device,
        engine,
        client_state,
        checkpoint_every,
        None if data_dir is None else Path(data_dir),
        offline,
        quiet=quiet,
    )
    trackers = _each(trackers)
    check_trackers(trackers)
    name, planned, folder = _found(experiment, out)
    _refuse_own(planned)
    others = [] if extend is None else run_to_extend(planned, extend)
    again = status_of(folder, planned, how.data_dir)[0] == "done"
    with display([name], [planned.experiment.rounds], jobs=1, quiet=quiet or again) as shown:
        shown.see(Started(0))
        with tracking(trackers, TrackedRun(name, folder.path, planned)) as more:
            callbacks = [Reporter(shown.see, 0), *more]
            execution = how.execution(default_workers(device) if threads is None else threads)
            result = execute(folder, planned, execution, callbacks, relatives=others, extend=bool(others))
        shown.see(Ended(0, result.rounds, None))
    return load(folder.path, data_dir=data_dir)


def _each(given: Any) -> tuple[Any, ...]:
    """What may be given as one or as several."""
    return (given,) if isinstance(given, str | Path) else tuple(given)


def _study_source(study: Study | Mapping[str, Any] | str | Path) -> Source:
    """Where the values of a study come from.

    Raises:
        ConfigError: a function stands in it, which its file could not name.
    """
    if isinstance(study, str | Path):
        return find_config(str(study))
    content = study.model_dump() if isinstance(study, Study) else dict(study)
    if (function := _function_in(content)) is not None:
        name = f"{function.__module__}:{function.__qualname__}"
        raise ConfigError(
            f"the study has the function {function.__qualname__!r} in it; a study names its components",
            f"write {name!r}, after fedskew.allow_plugin({function.__module__!r})",
        )
    name = str(content.get("name", ""))
    return Source(content, Origin(f"study {name}"), name)


def _found(
    experiment: Experiment | Mapping[str, Any] | str | Path, out: str | Path | None
) -> tuple[str, Completed, RunFolder]:
    """The name, the completed experiment and the folder of a run."""

    def folder_of(run: Completed) -> RunFolder:
        return RunFolder(Path(out)) if out is not None else RunFolder.below(Path(), f"{name}-{run.identity}")

    if isinstance(experiment, str | Path):
        source = find_config(str(experiment))
        name = source.slug
        return name, *as_begun(source, folder_of)
    name = "experiment"
    record = experiment if isinstance(experiment, Experiment) else build(Experiment, dict(experiment))
    run = completed(record)
    return name, run, folder_of(run)


def _refuse_own(run: Completed) -> None:
    """Refuses what the script or the notebook itself defines: nothing would tell its runs from those of another one,
    and worker processes would not find it."""
    for path, kind, component in components_of(run.experiment):
        if component.label.startswith("__main__:"):
            raise ConfigError(
                f"{path}: the {kind} {component.label.partition(':')[2]!r} is defined in this script or notebook, so a "
                "run with it cannot be kept",
                "put it into a module of its own, or use simulate(), which keeps nothing",
                path,
            )


def _function_in(value: Any) -> Any:
    """A function among nested plain values; None if there is none."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((found for found in map(_function_in, value) if found is not None), None)
    return value if callable(value) else None
