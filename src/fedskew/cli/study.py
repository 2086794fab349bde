"""``fedskew study``: a grid of experiments x seeds."""

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

Out = Annotated[Path | None, typer.Option("--out", "-o", help="The study's folder. Default: studies/NAME.")]
Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="AXIS=LABEL",
        help="Only cells with this label (or seed=N). Repeatable: several labels of one axis select all of them.",
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
    checkpoint_every: CheckpointEvery = 1.0,
    data_dir: DataDir = None,
    offline: Offline = False,
    plugins: Plugins = [],  # noqa: B006
    trackers: Track = [],  # noqa: B006
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run what is missing from a study and print its table. Rerun the same command to resume it."""
    from fedskew.study.source import as_study, find_config

    allow(plugins)
    source = find_config(config, overrides)
    record = as_study(source)

    from fedskew.study.folder import StudyFolder, as_begun_in, is_study, studies_folder
    from fedskew.study.pool import warm_up

    place = out or source.folder or studies_folder(record.name)
    if not is_study(place):
        warm_up()  # everything is to be done

    from fedskew.papers import check_reference
    from fedskew.study.grid import planned_runs
    from fedskew.study.impossible import refuse_impossible
    from fedskew.study.select import select
    from fedskew.trackers.tracking import check_trackers

    check_trackers(trackers)
    check_reference(record, source.origin)
    given, record = record, as_begun_in(place, record)
    everything = planned_runs(record, source.origin)
    wanted = select(everything, only)
    refuse_impossible(place, wanted)  # before it is compared with the study that is stored there
    if record.defaults != given.defaults:
        present = planned_runs(given, source.origin)
        if [plan.experiment for plan in everything] != [plan.experiment for plan in present]:
            tell_of_defaults(place)
    tell_of_version(place, record.results)
    folder = StudyFolder.open(place, record, source)

    from fedskew.config import Execution, default_jobs
    from fedskew.study.missing import missing_runs, run_missing
    from fedskew.study.tasks import WorkerSetup
    from fedskew.terminal.progress import display

    execution = Execution(
        data_dir,
        not offline,
        device,
        engine=engine,
        client_state=client_state,
        checkpoint_every=checkpoint_every,
    )
    if device != "cpu":
        from fedskew.federation.device import check_device

        check_device(device)  # once, instead of in every run
    setup = WorkerSetup(execution, tuple(plugins), tuple(trackers))
    missing, jobs = missing_runs(folder, wanted), jobs or default_jobs(device)
    titles, limits = [plan.title for plan in missing], [plan.experiment.rounds for plan in missing]
    with display(titles, limits, jobs, quiet) as shown:
        failed = run_missing(folder, missing, jobs, setup, shown.see)

    from fedskew.report.tables.study import study_tables

    print(study_tables(folder.study, folder.planned, folder.path, "json" if as_json else "text"), end="")
    if not as_json:
        print(f"folder: {folder.path}")

    from fedskew.analysis import reasons_of_each

    for found in reasons_of_each(folder.planned, folder.path):
        if found.severity == "serious":
            show_reason(found, err=True)  # all reasons are in the report
    if failed:
        import sys

        print(f"\n{len(failed)} of {len(wanted)} runs failed:", file=sys.stderr)
        for planned, reason in failed:
            run = folder.run_folder(planned).path.relative_to(folder.path)
            print(f"  {planned.title} ({run}): {reason}", file=sys.stderr)
        print("rerun the same command to retry them", file=sys.stderr)
        raise typer.Exit(1)


def tell_of_defaults(place: Path) -> None:
    """Says that a folder keeps the defaults with which it was begun."""
    import sys

    print(
        f"note: {place} was begun with the defaults of an earlier version and keeps them (docs/config.md, Defaults)",
        file=sys.stderr,
    )


def tell_of_version(place: Path, version: int) -> None:
    """Says that the results in a folder are of an earlier version, if they are."""
    import sys

    from fedskew.components.identity import VERSION

    if version != VERSION:
        print(
            f"note: {place} holds results of an earlier version, whose numbers differ from those of this version by "
            "rounding (docs/config.md, Versions of results)",
            file=sys.stderr,
        )
