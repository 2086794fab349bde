"""``fedskew watch``: a study's runs while another process does them. Reads the study's folder and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fedskew.cli.app import Json, Only, app, finite
from fedskew.terminal.say import console, show_json

if TYPE_CHECKING:
    from fedskew.study.watch import StudyView


@app.command(
    epilog="Examples:\n\n  fedskew watch quickstart\n\n"
    "  fedskew watch studies/mine --metric accuracy --interval 10\n\n  fedskew watch mine --once --json"
)
def watch(
    study: Annotated[str, typer.Argument(help="A study's folder, or its name below studies/.")],
    metrics: Annotated[
        list[str], typer.Option("--metric", "-m", help="Metrics to show instead of the usual. Repeatable.")
    ] = [],  # noqa: B006 (typer copies it)
    only: Only = [],  # noqa: B006
    interval: Annotated[
        float,
        typer.Option(
            "--interval", "-n", min=0.1, callback=finite, help="How often to read the folder, in seconds."
        ),
    ] = 2.0,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print the table once and exit; the default where there is no terminal."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Watch a study that is running. Its runs, their metrics over the rounds, the time left; Ctrl-C ends it."""
    from fedskew.study.watch import Watcher

    watcher = Watcher(study, only)
    view = watcher.look()
    if as_json:
        show_json(_plain(view, metrics))
        return
    from fedskew.terminal.live_table import picture, shown_metrics

    shown_metrics(view, metrics)  # a wrong name is an error now, not in the middle
    screen = console()
    if once or not screen.is_terminal:
        wide = screen if screen.is_terminal else console(width=160)
        wide.print(picture(view, metrics, wide, height=None))
        return

    import time

    from rich.live import Live

    try:
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            while not _over(view):
                live.update(picture(view, metrics, screen, height=screen.height), refresh=True)
                time.sleep(interval)
                view = watcher.look()
    except KeyboardInterrupt:  # the way to end it: no run has been interrupted, so the exit code is 0
        pass
    screen.print(picture(view, metrics, screen, height=screen.height))


def _over(view: StudyView) -> bool:
    """Whether there is nothing more to see. A study that no process works on may be resumed."""
    return all(run.state == "done" for run in view.runs)


def _plain(view: StudyView, metrics: list[str]) -> dict[str, object]:
    """What ``--json`` prints: metrics as in the records (fractions), times in seconds."""
    from dataclasses import asdict

    from fedskew.terminal.live_table import shown_metrics

    names = shown_metrics(view, metrics) if metrics else None
    return {
        "study": view.folder.study.name,
        "folder": str(view.folder.path),
        "owned": view.owned,
        "left": view.left and asdict(view.left),
        "runs": [
            {
                **run.plan.cell,
                "seed": run.plan.seed,
                "run": run.plan.identity,
                "state": run.state,
                "why": run.why,
                "rounds": run.rounds,
                "limit": run.plan.experiment.rounds,
                "seconds_per_round": run.pace,
                "left": asdict(view.left_of[run.plan.identity])
                if run.plan.identity in view.left_of
                else None,
                "metrics": {name: run.curves[name][-1] for name in names or run.curves if name in run.curves},
            }
            for run in view.runs
        ],
    }
