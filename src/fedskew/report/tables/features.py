"""The features of a data set as a table for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from fedskew.study.described import Described
from fedskew.wording import count, visible

MOST_SHOWN = 40
"""Features; JSON has all."""


def title_of(data: Described) -> str:
    """One line: the size of both parts, and what a sample is."""
    many = len(data.features)
    size = " x ".join(map(str, data.shape[1:] if data.values == "pixels" else data.shape))
    made_of = {
        "numbers": f"{count(many, 'feature')}; no value is missing",
        "pixels": f"{size} pixels, {count(data.shape[0], 'channel')}",
    }.get(data.values, f"{size} {data.values}")
    return (
        f"data {data.name!r}: {count(data.train, 'training sample')}, {count(data.test, 'test sample')}, "
        f"{count(data.classes, 'class', 'classes')}, {made_of}"
    )


def features_table(data: Described) -> Table:
    """Name, kind and range of each feature, with the size of both parts in the title."""
    many = len(data.features)
    more = f"and {many - MOST_SHOWN} more, which --json shows" if many > MOST_SHOWN else None
    table = Table(
        title=Text(visible(title_of(data))),
        title_justify="left",
        caption=more,
        caption_justify="left",
        padding=(0, 0, 0, 1),
    )
    for heading in ("feature", "values"):
        table.add_column(heading, no_wrap=True)
    for heading in ("lowest", "highest", "mean in training"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in data.features[:MOST_SHOWN]:
        numbers = (f"{number:.6g}" for number in (one.low, one.high, one.mean))
        # As Text, since a name may look like rich's markup.
        table.add_row(Text(visible(one.name)), one.kind, *numbers)
    return table
