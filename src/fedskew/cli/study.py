"""``fedskew study``: a grid of experiments x seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedskew.cli.app import (
    Best,
    CheckpointEvery,
    ClientState,
    Config,
    DataDir,
    Device,
    Engine,
    Extend,
    GpuShare,
    Jobs,
    Json,
    Offline,
    On,
    Only,
    Overrides,
    Plugins,
    Quiet,
    Reuse,
    Shard,
    Track,
    allow,
    app,
)
from fedskew.cli.running import check_best, run_study, tell_of_failures, tell_of_reasons, with_best
from fedskew.script.how import How
from fedskew.terminal.say import results_alone, show

if TYPE_CHECKING:
    from fedskew.runs.folder import RunFolder

Out = Annotated[Path | None, typer.Option("--out", "-o", help="The study's folder. Default: studies/NAME.")]


@app.command(
    epilog="Examples:\n\n  fedskew study quickstart\n\n"
    "  fedskew study paper-fashion-mnist --only alpha=1.0 --only seed=0\n\n"
    "  fedskew study mine.toml --jobs 8 --set seeds=[0,1,2,3,4]\n\n"
    "  fedskew study sensitivities-fashion-mnist --extend paper-fashion-mnist\n\n"
    "  fedskew study mine.toml --on ray=10.0.0.5:6379"
)
@results_alone()
def study(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    out: Out = None,
    only: Only = [],  # noqa: B006
    shard: Shard = None,
    reuse: Reuse = [],  # noqa: B006
    jobs: Jobs = None,
    on: On = None,
    gpu_share: GpuShare = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    client_state: ClientState = "auto",
    checkpoint_every: CheckpointEvery = 1.0,
    data_dir: DataDir = None,
    offline: Offline = False,
    plugins: Plugins = [],  # noqa: B006
    trackers: Track = [],  # noqa: B006
    extend: Extend = None,
    best: Best = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run what is missing from a study and print its table. Rerun the same command to resume it.

    Several processes, on machines that share the folder, may work on one study.
    """
    from fedskew.study.source import as_study, find_config

    allow(plugins)
    source = find_config(config, overrides)
    record = as_study(source)
    check_best(best, record, source)

    from fedskew.study.folder import studies_folder

    place = out or source.folder or studies_folder(record.name)
    others: list[RunFolder] = []
    if extend is not None:
        from fedskew.script.extend import runs_to_extend

        others = runs_to_extend(extend)
    how = How(
        jobs,
        device,
        engine,
        client_state,
        checkpoint_every,
        data_dir,
        offline,
        plugins,
        trackers,
        quiet,
        extend=others,
        on=on,
        gpu_share=gpu_share,
        shard=shard,
        reuse=reuse,
    )
    ran = run_study(record, source, place, only, how)

    from fedskew.report.tables.study import study_tables

    folder, style = ran.folder, "json" if as_json else "text"
    tables, error = with_best(
        lambda best: study_tables(folder.study, folder.planned, folder.path, style, best=best), best
    )
    show(tables, end="")
    if not as_json:
        show(f"folder: {folder.path}")
    tell_of_reasons(folder)
    tell_of_failures(ran)
    if error is not None:
        raise error
    if ran.failed:
        raise typer.Exit(1)
