"""A split as a client x class table for a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from fedskew.study.splits import Split
from fedskew.wording import visible


def split_table(split: Split) -> Table:
    """The table; classes with long names are numbered, adversaries starred."""
    title = "\n".join(split.titles) + f"\nseed {split.seed}"
    if split.held_out:
        title += f"; {split.held_out} samples held out for validation"
    if split.shared:
        title += f"; {split.sharing}"
    if split.unused:
        title += f"; {split.unused} samples that nobody uses"
    numbered = max(map(len, split.class_names)) > 5
    legend = ", ".join(f"{n} {name}" for n, name in enumerate(split.class_names)) if numbered else ""
    marks = ["* adversary"] if split.malicious else []
    caption = "\n".join([*marks, *([legend] if legend else [])]) or None
    # As Text, since a name may look like rich's markup.
    table = Table(
        title=Text(visible(title)),
        title_justify="left",
        caption=None if caption is None else Text(visible(caption)),
        caption_justify="left",
        padding=(0, 0, 0, 1),
    )
    table.add_column("client", no_wrap=True)
    for place, name in enumerate(split.class_names):
        widest = len(str(split.counts[:, place].sum()))
        heading = Text(str(place) if numbered else visible(name))
        table.add_column(heading, justify="right", no_wrap=True, min_width=widest)
    table.add_column("all", justify="right", no_wrap=True, min_width=len(str(split.counts.sum())))
    bad = set(split.malicious)
    for client, counts in enumerate(split.counts):
        cells: list[Any] = [str(n) if n else "." for n in counts]
        named = f" {split.names[client]}" if split.names else ""
        table.add_row(
            Text(visible(f"{client}{'*' if client in bad else ''}{named}")), *cells, str(counts.sum())
        )
    table.add_section()
    table.add_row("all", *(str(n) for n in split.counts.sum(axis=0)), str(split.counts.sum()))
    return table
