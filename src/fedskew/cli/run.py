"""``fedskew run``: one experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import (
    CheckpointEvery,
    ClientState,
    Config,
    DataDir,
    Device,
    Engine,
    Extend,
    Json,
    Offline,
    Overrides,
    Plugins,
    Quiet,
    Track,
    allow,
    app,
    show_reason,
)
from fedskew.script.tell import tell_of_defaults, tell_of_version
from fedskew.terminal.say import results_alone, show, show_json


@app.command(
    epilog="Examples:\n\n  fedskew run centralised-fashion-mnist\n\n"
    "  fedskew run mine.toml --set split.alpha=0.1 --set rounds=20\n\n"
    "  fedskew run mine.toml --set rounds=200 --extend runs/mine-0123456789ab"
)
@results_alone()
def run(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run's folder. Default: runs/NAME-HASH.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", "-t", min=1, help="Cores to use. Default: all; 1 on a GPU.")
    ] = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    client_state: ClientState = "auto",
    checkpoint_every: CheckpointEvery = 1.0,
    data_dir: DataDir = None,
    offline: Offline = False,
    plugins: Plugins = [],  # noqa: B006
    trackers: Track = [],  # noqa: B006
    extend: Extend = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run one experiment. Rerun the same command to resume it."""
    from fedskew.runs.folder import RUNS, RunFolder
    from fedskew.study.source import as_begun, as_experiment, find_config

    allow(plugins)
    source = find_config(config, overrides)
    name = source.slug
    planned, folder = as_begun(source, lambda run: RunFolder(out or Path(RUNS) / f"{name}-{run.identity}"))
    experiment = planned.experiment
    if experiment != as_experiment(source).experiment:
        tell_of_defaults(folder.path)

    from fedskew.trackers.tracking import TrackedRun, check_trackers, tracking

    check_trackers(trackers)
    others = []
    if extend is not None:
        from fedskew.script.extend import run_to_extend

        others = run_to_extend(planned, extend)

    from fedskew.config import Execution, default_workers
    from fedskew.config.origin import blamed
    from fedskew.errors import FailedRunError, FedskewError
    from fedskew.runs.events import Ended, Reporter, Started
    from fedskew.runs.execute import crashed, execute
    from fedskew.runs.status import status_of
    from fedskew.terminal.progress import display

    execution = Execution(
        data_dir,
        not offline,
        device,
        threads or default_workers(device),
        engine,
        client_state,
        checkpoint_every,
    )
    again = status_of(folder, planned, data_dir)[0] == "done"
    with display([name], [experiment.rounds], jobs=1, quiet=quiet or again) as shown:
        shown.see(Started(0))
        try:
            with tracking(trackers, TrackedRun(name, folder.path, planned)) as more, blamed(source.origin):
                result = execute(
                    folder,
                    planned,
                    execution,
                    [Reporter(shown.see, 0), *more],
                    relatives=others,
                    extend=bool(others),
                )
        except (FedskewError, BrokenPipeError):
            raise
        except Exception as error:
            crash = crashed(error, folder)
            raise FailedRunError(f"the run failed: {crash.message}", crash.hint) from None
        shown.see(Ended(0, result.rounds, None))

    tell_of_version(folder.path, planned.version)

    from fedskew.analysis import DIVERGED, reasons_of_run

    reasons = reasons_of_run(planned, folder)
    if as_json:
        from dataclasses import asdict

        from fedskew.federation.records import record_to_json

        show_json(
            {
                "folder": str(result.folder),
                "rounds": result.rounds,
                "stopped": result.stopped,
                "last": record_to_json(result.last),
                "reasons_to_distrust": [asdict(reason) for reason in reasons],
            }
        )
    else:
        from fedskew.report.tables.runs import metrics_text

        show(metrics_text(result.last.metrics))
        for reason in reasons:
            show_reason(reason)
        if again:
            show("the run was done before; this is its result")
        knowing = f", threat model {result.threat_model}" if result.threat_model else ""
        show(f"adversaries: {experiment.adversaries.count} of {experiment.clients.count} clients{knowing}")
        show(f"stopped after round {result.rounds}: {result.stopped}")
        sessions = folder.read_sessions()
        for session in sessions:
            if session.shared_from:
                show(f"its first {session.from_round} rounds are those of {session.shared_from}")
        why = f" ({sessions[-1].engine_reason})" if sessions and sessions[-1].engine_reason else ""
        show(f"engine: {result.engine.partition(' ')[0]}{why}")
        show(f"folder: {result.folder}")
    if any(reason.code == DIVERGED for reason in reasons):
        raise FailedRunError(
            "the run diverged, so its numbers are not those of a trained model; they are kept in its folder",
            "lower training.optimizer.lr or server.learning_rate",
        )
