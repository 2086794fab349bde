"""``fedskew report``: a study's page, tables and figures, from its records."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import Best, DataDir, app, own_matplotlib
from fedskew.cli.running import tell_of_thinned
from fedskew.terminal.say import show


class Format(StrEnum):
    """What a table can be printed as."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    json = "json"


@app.command(
    epilog="Examples:\n\n  fedskew report studies/quickstart\n\n"
    "  fedskew report paper-fashion-mnist --format latex --metric accuracy --metric bias"
)
def report(
    study: Annotated[str, typer.Argument(help="A study's folder, its name below studies/, or its archive.")],
    format_: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="Only print the tables, in this format; write nothing."),
    ] = None,
    metrics: Annotated[
        list[str],
        typer.Option("--metric", "-m", help="Metrics to show first instead of the usual. Repeatable."),
    ] = [],  # noqa: B006 (typer copies it)
    best: Best = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where to write it. Default: report in the study's folder, NAME-report beside an archive.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", help="Only draw the metrics into this file (.png, .svg, .pdf) and print the tables."
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write a study's report: a page, tables, figures; claims with verdicts, and what to distrust. Print its table."""
    from fedskew.papers import check_reference
    from fedskew.study.folder import StudyFolder

    folder = StudyFolder.find(study)
    check_reference(folder.study, folder.origin)
    if picture is not None:
        own_matplotlib()
        from fedskew.report.figures.metrics_picture import metrics_picture

        metrics_picture(folder, metrics, picture)
        show(str(picture), err=True)
    if format_ is not None or picture is not None:
        from fedskew.report.tables.study import study_tables

        style = (format_ or Format.text).value
        show(study_tables(folder.study, folder.planned, folder.path, style, metrics, best), end="")
        return

    own_matplotlib()
    from fedskew.report.tables.sheet import render
    from fedskew.report.write import write_report

    written = write_report(folder, out, metrics, _progress, best, data_dir)
    # Of a paper's study, its own tables; the sheet before them has the same numbers in one.
    for sheet in (written.content.main, *written.content.best, *written.content.published[1:]):
        show(render(sheet, "text"))
    show(written.summary)
    show()
    for what, paths in (("tables", written.tables), ("figures", written.figures)):
        if paths:
            show(f"{what + ':':<9}{paths[0].parent} ({len(paths)} files)")
    tell_of_thinned(written)
    show(f"{'report:':<9}{written.page}")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        show(f"{text} ...", err=True)
