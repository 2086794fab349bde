"""``fedskew pack``: a study's records in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import app


@app.command(epilog="Example:\n\n  fedskew pack studies/quickstart --out quickstart.tar.xz")
def pack(
    study: Annotated[str, typer.Argument(help="A study's folder, or its name below studies/.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file, NAME.tar.xz. Default: the study's name, here."),
    ] = None,
) -> None:
    """Put the records of a study's complete runs into one small file, to publish or send; report reads it."""
    from fedskew.errors import ConfigError
    from fedskew.runs.inputs import each_read_once
    from fedskew.study import archive
    from fedskew.study.folder import StudyFolder
    from fedskew.study.source import ARCHIVE_ENDING
    from fedskew.wording import count

    folder = StudyFolder.find(study)
    file = out or Path(f"{folder.path.absolute().name}{ARCHIVE_ENDING}")
    if not file.name.endswith(ARCHIVE_ENDING):
        raise ConfigError(f"--out: {file} does not end in {ARCHIVE_ENDING}", f"{file.stem}{ARCHIVE_ENDING}")
    with each_read_once():
        runs = {plan.identity for plan in folder.planned if folder.status(plan)[0] == "done"}
    archive.pack(folder.path, sorted(runs), file)
    all_runs = len({plan.identity for plan in folder.planned})
    print(f"{file}: {count(len(runs), 'complete run')} of {all_runs}, {file.stat().st_size / 1e6:.2g} MB")
