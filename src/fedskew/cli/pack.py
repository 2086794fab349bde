"""``fedskew pack``: a study's records in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import DataDir, app
from fedskew.terminal.say import show


@app.command(epilog="Example:\n\n  fedskew pack studies/quickstart --out quickstart.tar.xz")
def pack(
    study: Annotated[str, typer.Argument(help="A study's folder, or its name below studies/.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file, NAME.tar.xz. Default: the study's name, here."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Put the records of a study's complete runs into one small file, to publish or send; report reads it.

    Runs with missing or damaged records, or changed inputs, are left out and named.
    """
    from fedskew.errors import ConfigError
    from fedskew.runs.inputs import each_read_once
    from fedskew.study import archive
    from fedskew.study.folder import StudyFolder
    from fedskew.study.reuse import is_whole
    from fedskew.study.source import ARCHIVE_ENDING
    from fedskew.wording import count

    folder = StudyFolder.find(study)
    file = out or Path(f"{folder.path.absolute().name}{ARCHIVE_ENDING}")
    if not file.name.endswith(ARCHIVE_ENDING):
        raise ConfigError(f"--out: {file} does not end in {ARCHIVE_ENDING}", f"{file.stem}{ARCHIVE_ENDING}")
    plans = {plan.identity: plan for plan in folder.planned}
    folders = {name: folder.run_folder(plan) for name, plan in sorted(plans.items())}
    with each_read_once():
        runs = [name for name, run in folders.items() if is_whole(run, plans[name], data_dir)]
    archive.pack(folder.path, runs, file)
    if damaged := [name for name, run in folders.items() if run.result.exists() and name not in runs]:
        show(
            f"note: left out: {count(len(damaged), 'run')} with missing or damaged records, or changed inputs: "
            f"{', '.join(damaged)}; remove the folder of a run to do it again",
            err=True,
        )
    show(f"{file}: {count(len(runs), 'complete run')} of {len(plans)}, {file.stat().st_size / 1e6:.2g} MB")
