"""``fedskew study``: a grid of experiments x seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import (
    ClientState,
    Config,
    DataDir,
    Device,
    Engine,
    Json,
    Offline,
    Overrides,
    Plugins,
    Quiet,
    Track,
    allow,
    app,
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="The study's folder. Default: studies/NAME.")]
Only = Annotated[
    list[str],
    typer.Option(
        "--only", metavar="AXIS=LABEL", help="Only these cells (or seed=N). Repeatable; alternatives add up."
    ),
]


@app.command(
    epilog="Examples:\n\n  fedskew study quickstart\n\n"
    "  fedskew study paper-fashion-mnist --only alpha=1.0 --only seed=0\n\n"
    "  fedskew study mine.toml --jobs 8 --set seeds=[0,1,2,3,4]"
)
def study(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    out: Out = None,
    only: Only = [],  # noqa: B006
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Processes, one thread each. Default: the cores; up to 4 on a GPU."
        ),
    ] = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    client_state: ClientState = "auto",
    data_dir: DataDir = None,
    offline: Offline = False,
    plugins: Plugins = [],  # noqa: B006
    trackers: Track = [],  # noqa: B006
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run what is missing of a study, print its table. The same command again resumes it."""
    from fedskew.study.source import as_study, find_config

    allow(plugins)
    source = find_config(config, overrides)
    record = as_study(source)

    from fedskew.study.folder import StudyFolder, refuse_impossible
    from fedskew.study.grid import planned_runs
    from fedskew.study.select import select
    from fedskew.trackers.tracking import check_trackers

    check_trackers(trackers)
    wanted = select(planned_runs(record, source.origin), only)
    place = out or Path("studies") / record.name
    if (place / "study.toml").exists():
        refuse_impossible(place, wanted)  # before it is held against the study that is there
    folder = StudyFolder.open(place, record, source)

    from fedskew.config import Execution, default_jobs

    execution = Execution(data_dir, not offline, device, engine=engine, client_state=client_state)
    if device != "cpu":
        from fedskew.federation.world import check_device

        check_device(device)  # once, before every run would say the same
    failed = folder.run_missing(wanted, jobs or default_jobs(device), execution, plugins, quiet, trackers)

    from fedskew.report.tables.study import study_tables

    print(study_tables(folder.study, folder.planned, folder.path, "json" if as_json else "text"), end="")
    if not as_json:
        print(f"folder: {folder.path}")
    if failed:
        import sys

        print(f"\n{len(failed)} of {len(wanted)} runs failed:", file=sys.stderr)
        for planned, reason in failed:
            print(f"  {planned.title} (runs/{planned.identity}): {reason}", file=sys.stderr)
        print("the same command again retries them", file=sys.stderr)
        raise typer.Exit(1)
