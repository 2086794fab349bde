"""``fedskew list``: the components and presets there are. Imports no plugin."""

from __future__ import annotations

from typing import Annotated

import typer

from fedskew.cli.app import Json, app


def _complete_kind(incomplete: str) -> list[str]:
    from fedskew.catalogue import BUILT_IN

    return [kind for kind in ["preset", *BUILT_IN] if kind.startswith(incomplete)]


@app.command("list", epilog="Examples:\n\n  fedskew list\n\n  fedskew list split")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="A kind of component.", autocompletion=_complete_kind)
    ] = None,
    as_json: Json = False,
) -> None:
    """List presets and components by kind, with their options and defaults."""
    from fedskew.catalogue import BUILT_IN
    from fedskew.errors import ConfigError, unknown

    kinds = ["preset", *BUILT_IN]
    if kind is not None and kind not in kinds:
        raise ConfigError(*unknown("kind", kind, kinds))
    found = {name: _entries(name) for name in ([kind] if kind else kinds)}
    if as_json:
        import json

        print(json.dumps(found))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for name, entries in found.items():
        table = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False)
        table.add_column(min_width=16)
        table.add_column(overflow="fold")
        table.show_header = False
        for entry, text in entries.items():
            table.add_row(f"  {entry}", escape(text))
        if not entries:
            table.add_row("  (none built in)", "your own: a registered name or package.module:function")
        Console().print(table)


def _entries(kind: str) -> dict[str, str]:
    from fedskew.catalogue import BUILT_IN, REQUIRED

    if kind == "preset":
        from fedskew.presets import preset_names, preset_path

        return {name: _describe(preset_path(name)) for name in preset_names()}
    from fedskew.registry import names

    found = names(kind)
    for name, entry in BUILT_IN[kind].items():
        options = [o if d is REQUIRED else f"{o} = {_plain(d)}" for o, d in entry.options.items()]
        if options:
            found[name] = f"{entry.summary} [{', '.join(options)}]"
    return found


def _plain(default: object) -> str:
    if isinstance(default, dict):
        return repr(default.get("name", ""))
    return "unset" if default is None else repr(default)


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
