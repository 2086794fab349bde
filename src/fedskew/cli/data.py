"""``fedskew data``: where data sets are looked for, fetching them, checking them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fedskew.cli.app import DataDir, Json, app
from fedskew.terminal.say import show, show_json

if TYPE_CHECKING:
    from fedskew.datasets import DatasetReport

data = typer.Typer(
    no_args_is_help=True,
    help="Where the data sets are; fetch and check them.",
    epilog="Example:\n\n  fedskew data where",
)
app.add_typer(data, name="data")


def _complete(incomplete: str) -> list[str]:
    from fedskew.datasets import names

    return [name for name in names() if name.startswith(incomplete)]


Names = Annotated[list[str] | None, typer.Argument(help="Data sets. Default: all.", autocompletion=_complete)]


@data.command(epilog="Example:\n\n  fedskew data where fashion-mnist")
def where(names: Names = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say where each data set's files are, or should be."""
    from fedskew import datasets

    _show([datasets.where(name, data_dir) for name in names or datasets.names()], as_json)


@data.command(epilog="Example:\n\n  fedskew data fetch fashion-mnist --data-dir ~/data")
def fetch(
    names: Annotated[list[str], typer.Argument(help="Data sets.", autocompletion=_complete)],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Download what is missing, resume what was interrupted, check it."""
    from fedskew import datasets

    _show([datasets.fetch(name, data_dir) for name in names], as_json)


@data.command(epilog="Example:\n\n  fedskew data verify fashion-mnist cifar-10")
def verify(names: Names = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Read the files and compare their content with the official checksums. Exit code 1 if any is wrong,
    or a named data set is not there."""
    from fedskew import datasets

    check: Callable[..., DatasetReport] = datasets.verify
    reports = [check(name, data_dir) for name in names or datasets.names()]
    _show(reports, as_json)
    wrong = any(file.present and not file.ok for report in reports for file in report.files)
    if wrong or (names and not all(report.available for report in reports)):
        raise typer.Exit(1)


def _show(reports: list[DatasetReport], as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        show_json([asdict(report) for report in reports])
        return
    for report in reports:
        show(f"{report.name}: {'ready' if report.available else 'not there'}  ({report.root})")
        if report.note:
            show(f"  {report.note}")
        for file in report.files:
            show(f"  {file.path}: {file.status}")
            for note in file.notes:
                show(f"    {note}")
