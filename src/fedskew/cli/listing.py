"""``fedskew list``: all components and presets, or all that is known of one. Imports no plug-in and little else, so
that it is quick.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from fedskew.cli.app import Json, app, as_typed, colour
from fedskew.terminal.say import show, show_json
from fedskew.wording import visible


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        as_typed(self, ctx)
        return super().parse_args(ctx, args)


def _complete_kind(incomplete: str) -> list[str]:
    from fedskew.components.table import BUILT_IN

    return [kind for kind in ["preset", *BUILT_IN] if kind.startswith(incomplete)]


def _complete_name(context: typer.Context, incomplete: str) -> list[str]:
    from fedskew.components.table import BUILT_IN

    return [
        name for name in BUILT_IN.get(context.params.get("kind") or "", {}) if name.startswith(incomplete)
    ]


@app.command(
    "list",
    cls=_Command,
    epilog="Examples:\n\n  fedskew list\n\n  fedskew list split\n\n  fedskew list aggregator krum",
)
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="A kind of component.", autocompletion=_complete_kind)
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(
            help="A component of this kind: shows its formula, needs and reference.",
            autocompletion=_complete_name,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List presets and components, with their options and defaults."""
    from fedskew.components.table import BUILT_IN
    from fedskew.errors import ConfigError, unknown

    kinds = ["preset", *BUILT_IN]
    if kind is not None and kind not in kinds:
        kind = next((known for known in kinds if kind in (f"{known}s", known.replace("-", "_"))), kind)
    if kind is not None and kind not in kinds:
        raise ConfigError(*unknown("kind", kind, kinds))
    found = _entries([kind] if kind else kinds)
    if kind and name:
        if name not in found[kind]:
            raise ConfigError(*unknown(kind, name, found[kind]))
        if name in BUILT_IN.get(kind, {}):
            _show_one(kind, name, as_json)
            return
        found = {kind: {name: found[kind][name]}}
    if as_json:
        show_json(found)
        return
    for name, entries in found.items():
        typer.echo(typer.style(visible(name), bold=True), color=colour())
        if not entries:
            entries = {"(none built in)": "your own: a registered name or package.module:function"}
        _show(entries)
        show()


def _show_one(kind: str, name: str, as_json: bool) -> None:
    """The entry of a built-in component in the catalogue."""
    from fedskew.components.catalogue import entry, said

    one = entry(kind, name)
    if as_json:
        import dataclasses

        show_json(dataclasses.asdict(one))
        return
    typer.echo(f"{typer.style(visible(name), bold=True)} ({kind})", color=colour())
    _show({"what it does": one.summary, **said(one)})


def _show(entries: dict[str, str]) -> None:
    """Two columns, the second wrapped to the terminal; one line each where there is no terminal."""
    import shutil
    import sys
    import textwrap

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10**6
    left = max(16, *map(len, entries))
    indent = " " * (left + 4)
    for name, text in entries.items():
        if width - len(indent) < 20:  # too narrow for two columns
            show(f"  {name}")
            show(textwrap.fill(text, max(width, 20), initial_indent="    ", subsequent_indent="    "))
        else:
            first = f"  {name:{left}}  "
            show(textwrap.fill(text, width, initial_indent=first, subsequent_indent=indent))


def _entries(kinds: list[str]) -> dict[str, dict[str, str]]:
    """Kind -> name -> what it is and its options."""
    from fedskew.components.catalogue import options
    from fedskew.components.registry import all_names
    from fedskew.components.table import BUILT_IN
    from fedskew.presets import preset_names, preset_path

    components = all_names(kind for kind in kinds if kind != "preset")
    for kind, found in components.items():
        for name, row in BUILT_IN[kind].items():
            if row.options:
                found[name] = f"{row.summary} [{', '.join(options(row))}]"
    presets = {name: _describe(preset_path(name)) for name in preset_names()} if "preset" in kinds else {}
    return {kind: presets if kind == "preset" else components[kind] for kind in kinds}


def _describe(path: object) -> str:
    import re
    import tomllib
    from pathlib import Path

    text = Path(str(path)).read_text(encoding="utf-8")
    described = tomllib.loads(text).get("description")
    if described:
        return str(described)
    comment = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#") and line.strip("# ")]
    return re.split(r"[.:] ", " ".join(comment[1:]))[0]
