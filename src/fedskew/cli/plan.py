"""``fedskew plan``: what a study has done, what it has to do (again), and why. Runs and imports nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import Config, DataDir, Json, Only, Overrides, Shard, app
from fedskew.cli.study import Out
from fedskew.script.tell import tell_of_version
from fedskew.terminal.say import console, show_json


@app.command(epilog="Examples:\n\n  fedskew plan paper-fashion-mnist\n\n  fedskew plan studies/quickstart")
def plan(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    out: Out = None,
    only: Only = [],  # noqa: B006
    shard: Shard = None,
    _plugins: Annotated[
        list[str],
        typer.Option(
            "--allow-plugin", metavar="PREFIX", help="As for study; not needed, nothing is imported."
        ),
    ] = [],  # noqa: B006
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the runs of a study: done, to do, to do again and why."""
    from fedskew.presets import preset_path
    from fedskew.runs.inputs import each_read_once
    from fedskew.study import shard as parts
    from fedskew.study.folder import StudyFolder, as_begun_in, is_study, studies_folder
    from fedskew.study.grid import planned_runs
    from fedskew.study.select import select
    from fedskew.study.source import as_study, find_config

    kept = is_study(Path(config)) or is_study(studies_folder(config))
    if kept and not preset_path(config):
        folder = StudyFolder.find(config)
    else:
        source = find_config(config, overrides)
        study = as_study(source)
        place = out or source.folder or studies_folder(study.name)
        study = as_begun_in(place, study)
        folder = StudyFolder(place, study, planned_runs(study, source.origin), source.origin)
    tell_of_version(folder.path, folder.study.results)
    chosen = select(folder.planned, only)
    if shard is not None:
        chosen = parts.Shard.read(shard).part_of(chosen)
    with each_read_once():
        rows = [(p, *folder.status(p, data_dir)) for p in chosen]
    if as_json:
        show_json(
            [
                {**p.cell, "seed": p.seed, "run": p.identity, "status": status, "why": why}
                for p, status, why in rows
            ]
        )
        return
    from rich.table import Table

    table = Table(title=f"{folder.study.name} in {folder.path}", title_justify="left")
    for axis in [*folder.study.axes, "seed", "run", "status", "why"]:
        table.add_column(axis, overflow="fold")
    for p, status, why in rows:
        table.add_row(*(str(v) for v in p.cell.values()), str(p.seed), p.identity, status, why)
    shown = console()
    shown.print(table)
    counts = {name: sum(status == name for _, status, _ in rows) for name in ("done", "to do", "to do again")}
    line = ", ".join(f"{count} {name}" for name, count in counts.items())
    if (distinct := len({p.identity for p, _, _ in rows})) < len(rows):
        line += f"; {distinct} different runs, each done once"
    shown.print(line, highlight=False)
