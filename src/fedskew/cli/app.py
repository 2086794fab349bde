"""The application object, the options that commands share, and how errors reach a person."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from fedskew.cli.staying import staying
from fedskew.errors import FailedRunError, FedskewError, place_of
from fedskew.terminal.letters import write_in_any_encoding
from fedskew.terminal.say import open_closed_streams, results, show
from fedskew.wording import log_visibly, visible

if TYPE_CHECKING:
    from fedskew.analysis import Reason


def as_typed(command: Any, ctx: Any) -> None:
    """Takes what is typed for a command's text and flags as it is.

    To convert it, also where nothing was typed, newer versions of typer load pydantic, which takes as long as all
    the rest of ``fedskew list``.
    """

    def light(parameter: Any) -> Callable[[Any, Any], Any]:
        convert: Callable[[Any, Any], Any] = parameter.process_value

        def process_value(ctx: Any, value: Any) -> Any:
            if isinstance(value, str) or (value is None and not parameter.required):
                return value if parameter.callback is None else parameter.callback(ctx, parameter, value)
            return convert(ctx, value)

        return process_value

    for parameter in command.get_params(ctx):
        parameter.process_value = light(parameter)


_OPTION_ALONE = re.compile(r"--[a-z-]+=")


class Group(TyperGroup):
    """Turns our own errors into a sentence and their exit code, and Ctrl-C into exit code 130."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the options before the command, which are flags."""
        for before, argument in zip(["", *args], args, strict=False):
            if not argument or _OPTION_ALONE.fullmatch(argument):  # an empty path would be the current folder
                option = argument.rstrip("=") or (before if before.startswith("-") else "an argument")
                complain(FedskewError(f"{option} is empty; expected a value"))
                ctx.exit(FedskewError.exit_code)
        as_typed(self, ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            with staying():
                done = super().invoke(ctx)
            results().flush()
            return done
        except FedskewError as error:
            complain(error)
            ctx.exit(error.exit_code)
        except SystemExit as error:  # nothing of ours raises it
            complain(
                FailedRunError(f"a plug-in would have ended the process with {error!r} ({place_of(error)})")
            )
            ctx.exit(1)
        except KeyboardInterrupt:
            show("\ninterrupted; rerun the same command to resume", err=True)
            ctx.exit(130)
        except BrokenPipeError:  # the reader of our output (head, say) has gone
            sys.stderr.close()
            ctx.exit(0)
        except OSError as error:
            if error.errno is None:
                raise
            where = error.filename or "standard output or a file"  # a write that fails does not know its file
            complain(FedskewError(f"{where}: {error.strerror or os.strerror(error.errno)}"))
            ctx.exit(FedskewError.exit_code)


app = typer.Typer(
    name="fedskew",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich's takes longer to import than everything else together
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How the distribution of data over clients changes the accuracy, the fairness and the robustness of a "
    "federated model, with and without a defence.",
    epilog="Start with: fedskew study quickstart\n\n"
    "Exit codes: 0 done; 1 a run failed, a single run diverged, or data is missing or wrong; 2 bad input; "
    "130 interrupted.",
)


def complain(error: FedskewError) -> None:
    """Prints an error and its hint on stderr; the words carry the meaning, colour only helps."""
    for line in visible(error.message).splitlines():
        prefix = "" if line.startswith("  ") else typer.style("error: ", fg="red", bold=True)
        typer.echo(prefix + line, err=True, color=colour())
    if error.hint:
        typer.echo(
            typer.style("hint: ", fg="cyan", bold=True) + visible(error.hint), err=True, color=colour()
        )


def show_reason(reason: Reason, *, err: bool = False) -> None:
    """Prints a reason to distrust in one line, on stdout unless ``err``."""
    red = reason.severity == "serious"
    word = typer.style(f"{reason.severity}: ", fg="red" if red else "yellow", bold=True)
    typer.echo(word + visible(reason.text), sys.stderr if err else results(), color=colour())


def colour() -> bool | None:
    """For ``typer.echo``: no colour if NO_COLOR is set, else where there is a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def print_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        import importlib.metadata

        show(f"fedskew {importlib.metadata.version('fedskew')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of fedskew itself."""


class CtrlC(KeyboardInterrupt):
    """What Ctrl-C raises in a command. A plain ``KeyboardInterrupt`` that passes through text being executed (every
    dataclass does that while it is made) has Python end the process by the signal, also where it was handled since."""


def main() -> None:
    """The console script."""
    import signal

    def interrupt(*_: object) -> None:
        raise CtrlC

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where Ctrl-C is ignored
        signal.signal(signal.SIGINT, interrupt)
    open_closed_streams()
    write_in_any_encoding()
    log_visibly()
    app()


def own_matplotlib() -> None:
    """Imports matplotlib without the user's backend and settings, which are to have no effect on a figure: one that it
    cannot read would end the command. It looks for them in the current folder first."""
    import contextlib
    import importlib.util

    os.environ.pop("MPLBACKEND", None)
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        with contextlib.chdir(Path(found.origin).parent / "mpl-data"):
            import matplotlib  # noqa: F401


def finite(value: float | None) -> float | None:
    """The value of an option, which is a finite number or not given."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def complete_config(incomplete: str) -> list[str]:
    """Preset names and TOML files, for shell completion."""
    from fedskew.presets import preset_names

    folder = Path(incomplete).parent
    try:
        here = sorted(str(path) for path in folder.glob("*.toml"))
    except OSError:
        here = []
    return [name for name in [*preset_names(), *here] if name.startswith(incomplete)]


Config = Annotated[
    str,
    typer.Argument(help="A preset's name, a .toml file or a study's folder.", autocompletion=complete_config),
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="FIELD=VALUE", help="Set any field, e.g. split.alpha=0.5. Repeatable."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Root of the data sets. Default: $FEDSKEW_DATA, else the user's cache."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never download data.")]
Plugins = Annotated[
    list[str],
    typer.Option(
        "--allow-plugin",
        metavar="PREFIX",
        help='Let configs import "PREFIX...:function" components. Repeatable.',
    ),
]
Track = Annotated[
    list[str],
    typer.Option(
        "--track",
        metavar="TRACKER",
        help="tensorboard[=FOLDER], mlflow[=URI], wandb[=PROJECT] or your own package.module:function. Repeatable.",
    ),
]
Extend = Annotated[
    str | None,
    typer.Option(
        "--extend",
        metavar="FROM",
        help="Continue from complete runs there that differ only in when they stop: a study's folder, its name below "
        "studies/, or a run's folder. They stay as they are.",
    ),
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="AXIS=LABEL",
        help="Only cells with this label (or seed=N). Repeatable: several labels of one axis select all of them.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="NUMBER/OF",
        help="Only this part of the runs asked for, e.g. 3/20: each part has its share of every cell.",
    ),
]
Reuse = Annotated[
    list[str],
    typer.Option(
        "--reuse",
        metavar="STUDY",
        help="Copy complete runs from another study (its folder or name) instead of doing them again. Repeatable.",
    ),
]
Best = Annotated[
    str | None,
    typer.Option(
        "--best",
        metavar="METRIC",
        help="Also show the best round of each run by this metric (validation_loss, say) beside the last.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Device = Annotated[str, typer.Option("--device", help="A PyTorch device: cpu, cuda, cuda:1.")]

Engine = Annotated[
    Literal["auto", "native", "torch", "stacked", "graph"],
    typer.Option("--engine", help="The training engine; auto: the fastest one for the model on the device."),
]

ClientState = Annotated[
    Literal["auto", "memory", "disk"],
    typer.Option(
        "--client-state", help="Where clients' optimiser state is kept; auto: on disk above 64 MiB in all."
    ),
]

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, help="Processes, one thread each. Default: the cores; up to 4 on a GPU."
    ),
]

On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="PLACE",
        help="Where to run: ray[=HOST:PORT], a Ray cluster. Default: processes of this machine. With it, --jobs is the "
        "most runs at once; default: all that there is room for.",
    ),
]
GpuShare = Annotated[
    float | None,
    typer.Option(
        "--gpu-share",
        min=0.01,
        max=1,
        callback=finite,
        help="With --on: of a GPU, for each run. Default: 0.25.",
    ),
]

CheckpointEvery = Annotated[
    float,
    typer.Option(
        "--checkpoint-every",
        metavar="SECONDS",
        min=0,
        callback=finite,
        help="Seconds between a run's checkpoints, at least; 0: one after every round. A killed run repeats the rounds "
        "after its last one.",
    ),
]


def allow(prefixes: list[str]) -> None:
    """Permit the import of components from these modules."""
    if prefixes:
        from fedskew.components.permission import allow_plugin

        for prefix in prefixes:
            allow_plugin(prefix)
