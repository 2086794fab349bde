"""``fedskew report``: the tables of a study, from its records."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import app


class Format(StrEnum):
    """What a table can be written as."""

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
    study: Annotated[str, typer.Argument(help="A study's folder, or its name below studies/.")],
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to print the tables.")] = Format.text,
    metrics: Annotated[
        list[str], typer.Option("--metric", "-m", help="Metrics to show instead of the usual. Repeatable.")
    ] = [],  # noqa: B006 (typer copies it)
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write all formats into this folder instead.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Also draw the metrics (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Print a study's tables: mean +/- std over seeds, beside the paper's numbers where it is the paper's study."""
    from fedskew.report.tables import EXTENSIONS, make_sheets, render, study_tables
    from fedskew.study_folder import StudyFolder

    folder = StudyFolder.find(study)
    if picture is not None:
        from fedskew.analysis import DEFAULT_METRICS, results_table, summary_table
        from fedskew.report.figures import metrics_picture

        results = results_table(folder.planned, folder.path)
        shown = metrics or [m for m in DEFAULT_METRICS[:3] if m in results.columns]
        print(picture, file=sys.stderr)
        metrics_picture(summary_table(results, folder.study, shown), list(folder.study.axes), shown, picture)
    if out is None:
        print(study_tables(folder.study, folder.planned, folder.path, format_.value, metrics), end="")
        return
    from fedskew.files import replace_file

    out.mkdir(parents=True, exist_ok=True)
    for sheet in make_sheets(folder.study, folder.planned, folder.path, metrics):
        for style, extension in EXTENSIONS.items():
            target = out / f"{sheet.slug}.{extension}"
            replace_file(target, render(sheet, style))
            print(target)
