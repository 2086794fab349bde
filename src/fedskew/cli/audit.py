"""``fedskew audit``: a defence under a suite of attacks, from evenly to unevenly spread data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fedskew.cli.app import (
    Best,
    CheckpointEvery,
    ClientState,
    DataDir,
    Device,
    Engine,
    GpuShare,
    Jobs,
    Offline,
    On,
    Plugins,
    Quiet,
    Reuse,
    Shard,
    Track,
    allow,
    app,
    own_matplotlib,
)
from fedskew.cli.auditing import audit_study, left_to_others, run_audit, tuned
from fedskew.cli.running import check_best, tell_of_failures, tell_of_thinned, with_best
from fedskew.script.how import How
from fedskew.terminal.say import results_alone, show
from fedskew.wording import count


@app.command(
    epilog="Examples:\n\n  fedskew audit krum --set f=2\n\n"
    '  fedskew audit "nnm(f=2) + trimmed-mean(b=2)" --level standard\n\n'
    "  fedskew audit my_rule:rule --allow-plugin my_rule --data fashion-mnist"
)
@results_alone()
def audit(
    defence: Annotated[
        str,
        typer.Argument(
            metavar="DEFENCE",
            help='An aggregator, transform, learning-rate rule or server step: NAME, "NAME(OPTION=VALUE, ...)", '
            "package.module:function, or several with + between them.",
        ),
    ],
    overrides: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option of the defence, e.g. f=2, or a field of the experiment, e.g. rounds=20. Repeatable.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    level: Annotated[
        Literal["quick", "standard", "thorough"],
        typer.Option(
            "--level",
            help="How many attacks, spreads, defences and seeds: some 170, 1,300 or 10,000 runs.",
        ),
    ] = "quick",
    data: Annotated[
        str, typer.Option("--data", help="A data set's name, or the path of an .npz, .csv or .parquet file.")
    ] = "digits",
    alphas: Annotated[
        str | None,
        typer.Option("--alphas", metavar="A,B,...", help="Concentrations of the split, from even to uneven."),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="SPLIT",
            help="Instead of --alphas: your own spread of the data, as a file of clients (FILE.csv) or "
            '"NAME(OPTION=VALUE, ...)". It is compared with the same samples spread evenly.',
        ),
    ] = "",
    attacks: Annotated[
        list[str],
        typer.Option(
            "--attacks",
            metavar="NAME",
            help='Attacks: a name, "NAME(OPTION=VALUE, ...)", or suite for those of the level. Several with commas, '
            "or repeat it.",
        ),
    ] = [],  # noqa: B006
    against: Annotated[
        list[str],
        typer.Option(
            "--against",
            metavar="DEFENCE",
            help="What it is compared with, besides no defence. Several with commas, or repeat it. Default: the "
            "level's.",
        ),
    ] = [],  # noqa: B006
    tune: Annotated[
        list[str],
        typer.Option(
            "--tune",
            metavar="OPTION=A,B,...",
            help="Choose an option of the defence by its worst case on validation data first. Repeatable.",
        ),
    ] = [],  # noqa: B006
    privacy: Annotated[
        bool,
        typer.Option(
            "--privacy", help="Measure what leaks, too: privacy attacks watch the runs without an attack."
        ),
    ] = False,
    privacy_attacks: Annotated[
        list[str],
        typer.Option(
            "--privacy-attacks",
            metavar="NAME",
            help='Which: a name, "NAME(OPTION=VALUE, ...)", or suite for the usual. Several with commas, or repeat it. '
            "Implies --privacy.",
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Seeds of each cell. Default: the level's.")
    ] = None,
    clients: Annotated[
        int | None,
        typer.Option(
            "--clients",
            min=2,
            help="Clients, all of them in each round. Default: 10; with --split FILE.csv those of the file and the "
            "adversaries.",
        ),
    ] = None,
    adversaries: Annotated[int, typer.Option("--adversaries", min=1, help="How many are malicious.")] = 2,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The audit's folder. Default: studies/audit-DEFENCE, for another level than quick with -LEVEL.",
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            help="Only write the study file (after the tuning, if there is any), for `fedskew study` to run.",
        ),
    ] = None,
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
    best: Best = None,
    quiet: Quiet = False,
) -> None:
    """Audit a defence: under a suite of attacks, from evenly to unevenly spread data; write a report with a scorecard.

    Rerun the same command to resume it. Several processes, on machines that share the folder, may work on one audit.
    """
    allow(plugins)
    from fedskew.audit.build import Wish, prepare
    from fedskew.audit.notation import each_of
    from fedskew.errors import ConfigError

    wish = Wish(
        defence=defence,
        level=level,
        data=data,
        alphas=_numbers(alphas),
        split=split,
        attacks=each_of(attacks),
        against=each_of(against),
        seeds=seeds,
        clients=clients or 0,
        adversaries=adversaries,
        overrides=tuple(overrides),
        tune=tuple(tune),
        privacy=each_of(privacy_attacks) or (("suite",) if privacy else ()),
    )
    if write is not None and shard is not None:
        raise ConfigError("--shard divides runs, and --write does none", "give it to `fedskew study FILE`")
    prepared = prepare(wish)
    if best is not None:
        check_best(best, *audit_study(prepared.content()))
    for why in prepared.left_out.values():
        show(f"note: left out: {why}", err=True)
    if 2 * adversaries >= prepared.wish.clients:
        show(
            f"note: {adversaries} of {prepared.wish.clients} clients are adversaries; a defence that trusts the "
            "majority cannot work",
            err=True,
        )
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
        on=on,
        gpu_share=gpu_share,
        shard=shard,
        reuse=reuse,
    )

    from fedskew.study.folder import studies_folder

    place = out or studies_folder(prepared.name)
    content = prepared.content(tuned(prepared, place, how) if prepared.is_tuned else ())
    if write is not None:
        _write(write, content)
        return
    ran = run_audit(content, place, how, content["audit"]["defence"])
    if shard is not None and (left := left_to_others(ran)):
        show(
            f"note: no report yet: other parts have {count(left, 'run')} to do; the part that ends last writes it, or "
            f"`fedskew report {ran.folder.path}`",
            err=True,
        )
        tell_of_failures(ran)
        raise typer.Exit(1 if ran.failed else 0)

    own_matplotlib()
    from fedskew.report.tables.sheet import render
    from fedskew.report.write import write_report

    written, error = with_best(lambda best: write_report(ran.folder, best=best, data_dir=data_dir), best)
    for sheet in (*written.content.scorecard, *written.content.best):
        show(render(sheet, "text"))
    show(written.summary)
    show()
    show(f"study:  {ran.folder.path / 'study.toml'}")
    show(f"report: {written.page}")
    tell_of_thinned(written)
    tell_of_failures(ran)
    if error is not None:
        raise error
    if ran.failed:
        raise typer.Exit(1)


def _write(file: Path, content: dict[str, Any]) -> None:
    """Writes the study file; one that was edited is not replaced."""
    from fedskew.config.toml_io import write_toml
    from fedskew.errors import ConfigError
    from fedskew.files import replace_file

    text = write_toml(content)
    try:
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"--write {file}: there is such a file already", "choose another name, or remove it"
            )
        replace_file(file, text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--write {file}: it cannot be written: {error}") from None
    show(f"{file}: run it with `fedskew study {file}`")


def _numbers(text: str | None) -> tuple[float, ...]:
    from fedskew.errors import ConfigError

    try:
        found = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        found = (float("nan"),)
    if not all(0 < number < float("inf") for number in found):
        raise ConfigError(f"--alphas {text!r}: expected numbers above 0, for example 10,1,0.3")
    return found
