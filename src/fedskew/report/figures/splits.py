"""A split as a picture: clients x classes, where the area of a disc is the number of samples.

Of many clients some are drawn: the adversaries first, then honest clients from the largest to the smallest, evenly
spaced. Of many classes those evenly spaced.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from fedskew.report.chosen import evenly
from fedskew.report.figures.charts import EDGE, Chart, Plate, finish, size_of
from fedskew.report.figures.files import save_scene
from fedskew.report.figures.panel import MIDDLE
from fedskew.report.figures.scene import Group, Item, Line, Marks, Scene, Words
from fedskew.report.figures.style import HONEST, LETTERS, MALICIOUS, RULE, SMALL, cut_middle, text_width
from fedskew.report.figures.svg import inline
from fedskew.report.splits import MOST_SPLITS, ColumnSplit
from fedskew.study.splits import Split
from fedskew.wording import count

MOST_CLIENTS, MOST_ADVERSARIES, MOST_CLASSES = 40, 10, 30
"""In one picture."""
CELL, ROW, DISC = 19.0, 15.5, 13.0
"""Width and height of a cell, diameter of the largest disc."""
NAMES = 44.0
"""Least room for the names of the clients."""
LONGEST = 18
"""Letters of a name of a client or a class."""


def split_picture(splits: Sequence[Split], path: Path) -> None:
    """Writes the client x class picture of each split, one panel each: the area of a disc is the number of samples.

    Args:
        path: the ending chooses the format (.png, .svg, .pdf).

    Raises:
        FedskewError: the format is unknown or the file cannot be written.
    """
    save_scene(split_figure(splits), path, dpi=150)


def split_figure(splits: Sequence[Split], columns: int = 3) -> Scene:
    """The figure of ``split_picture``, with so many panels side by side."""
    shown = evenly(splits, MOST_SPLITS)
    columns = min(columns, len(shown))
    largest = max(int(split.counts.max()) for split in shown)
    drawn = [_Split(split, largest) for split in shown]
    wide = max(250.0, *(one.width for one in drawn))
    items: list[Item] = []
    top = 0.0
    for start in range(0, len(drawn), columns):
        line = drawn[start : start + columns]
        heads = [
            [part for title in one.split.titles for part in textwrap.wrap(title, 44)]
            + textwrap.wrap(f"mean total variation {one.split.measures.total_variation:.2f}{one.rule}", 44)
            for one in line
        ]
        head = 11.0 * max(map(len, heads)) + 6
        for number, (one, words) in enumerate(zip(line, heads, strict=True)):
            for place, text in enumerate(words):
                items.append(Words((number * wide + EDGE, top + 12 + 11.0 * place), text, 8.0))
            items += one.items(number * wide, top + head)
        top += head + max(one.height for one in line)
    notes = [f"{len(shown)} of {len(splits)} splits, evenly spaced."] if len(shown) < len(splits) else []
    return finish(items, wide * columns, top, [], notes)


def split_charts(splits: list[ColumnSplit]) -> list[Chart]:
    """A chart for each split."""
    largest = max((int(one.split.counts.max()) for one in splits), default=1)
    found = []
    for number, one in enumerate(splits):
        title = ", ".join(one.split.titles)
        drawn, name = _Split(one.split, largest), f"split-{number}"
        told = f"samples per client and class, {title}: the area of a disc is the number of samples"
        svg = inline(Scene(drawn.width, drawn.height, drawn.items(0.0, 0.0)), told)
        found.append(Chart(name, title, svg, {"column": str(one.column)}, size=size_of(drawn.width)))
    return found


def split_caption(split: Split) -> str:
    """What the picture of a split does not show."""
    held = f"; {split.held_out} samples held out for validation" if split.held_out else ""
    held += f"; {split.sharing}" if split.shared else ""
    measures = split.measures
    return (
        f"Seed {split.seed}. Honest clients: mean total variation distance {measures.total_variation:.2f}, "
        f"{measures.effective_classes:.1f} effective classes each, {measures.smallest} to {measures.largest} samples"
        f"{held}{_Split(split, 1).rule}."
    )


def split_plate(splits: list[ColumnSplit]) -> Plate:
    """The figure for a paper."""

    def make() -> Scene:
        # The splits of one label side by side, where each label has as many.
        each = {sum(other.column == one.column for other in splits) for one in splits}
        columns = 3 if each == {1} or len(each) > 1 else min(3, each.pop())
        return split_figure([one.split for one in splits], columns)

    return Plate("splits", make)


class _Split:
    """The drawing of one split; ``largest`` is the number of images of the largest disc, so that pictures compare."""

    def __init__(self, split: Split, largest: int) -> None:
        self.split, self.largest = split, max(largest, 1)
        clients, classes = split.counts.shape
        self.rows, rules = list(range(clients)), []
        if clients > MOST_CLIENTS:
            bad = evenly(split.malicious, MOST_ADVERSARIES)
            sizes = split.counts.sum(axis=1)
            honest = sorted(set(range(clients)) - {*split.malicious}, key=lambda k: (-sizes[k], k))
            self.rows = [*bad, *evenly(honest, MOST_CLIENTS - len(bad))]
            first = "the adversaries, then " if bad else ""
            if len(bad) < len(split.malicious):
                first = f"{len(bad)} of {len(split.malicious)} adversaries, then "
            rules.append(
                f"{len(self.rows)} of {clients} clients are drawn: {first}honest ones from the largest to the "
                "smallest, evenly spaced"
            )
        self.columns = evenly(range(classes), MOST_CLASSES)
        if classes > MOST_CLASSES:
            rules.append(f"{MOST_CLASSES} of {classes} classes are drawn, evenly spaced")
        self.rule = "".join(f"; {rule}" for rule in rules)
        names = [split.class_names[column] for column in self.columns]
        self.short = max(map(len, names), default=0) <= 2
        self.names = [cut_middle(name, LONGEST) for name in names]
        below = SMALL if self.short else max(text_width(name, SMALL) for name in self.names)
        self.who = [self._named(client) for client in self.rows]
        self.left = max(NAMES, *(24.0 + text_width(name, SMALL) for name in self.who))
        self.width = self.left + CELL * len(self.columns) + EDGE
        self.height = 2 * EDGE + ROW * len(self.rows) + below + 16

    def _named(self, client: int) -> str:
        name = cut_middle(self.split.names[client], LONGEST) if self.split.names else str(client)
        return f"{name} (adversary)" if client in self.split.malicious else name

    def items(self, x: float, y: float) -> list[Item]:
        """Everything, with the upper left corner there."""
        split, left, top = self.split, x + self.left, y + EDGE
        right, base = left + CELL * len(self.columns), top + ROW * len(self.rows)
        across = [left + CELL * (at + 0.5) for at in range(len(self.columns))]
        down = [top + ROW * (at + 0.5) for at in range(len(self.rows))]
        grid = [[(at, top), (at, base)] for at in across] + [[(left, at), (right, at)] for at in down]
        items: list[Item] = [Line(grid, RULE, 0.6)] if grid else []
        for client, who, at in zip(self.rows, self.who, down, strict=True):
            bad = client in split.malicious
            items.append(Words((left - 6, at + MIDDLE * SMALL), who, SMALL, "end"))
            for column, place in zip(self.columns, across, strict=True):
                if images := int(split.counts[client, column]):
                    size = DISC * math.sqrt(images / self.largest)
                    mark = Marks([(place, at)], "D" if bad else "o", MALICIOUS if bad else HONEST, size)
                    told = f"client {who}, class {split.class_names[column]}\n{count(images, 'sample')}"
                    items.append(Group([mark], told=told))
        for name, place in zip(self.names, across, strict=True):
            if self.short:
                items.append(Words((place, base + 3 + 0.75 * SMALL), name, SMALL, "middle"))
            else:
                items.append(Words((place + MIDDLE * SMALL, base + 4), name, SMALL, "end", turned=True))
        items.append(Words(((left + right) / 2, y + self.height - 5), "class", LETTERS, "middle"))
        items.append(Words((x + 12, (top + base) / 2), "client", LETTERS, "middle", turned=True))
        return items
