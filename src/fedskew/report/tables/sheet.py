"""A table as a reader sees it, and how it is written: text, Markdown, CSV, LaTeX (booktabs), JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from fedskew.files import to_json
from fedskew.wording import in_one_line, visible

EXTENSIONS = {"text": "txt", "markdown": "md", "csv": "csv", "latex": "tex", "json": "json"}


@dataclass(frozen=True)
class Sheet:
    """A titled table of text, the numbers that it shows, and a name for its file.

    Attributes:
        headings: how many columns on the left say what a row is about.
        runs: the run folders that each row comes from; empty if no row has any.
        columns: of a table with too many of them for a page, those that a page shows, and ``columns_rule``: which
            these are, in a sentence; () and "" for all.
    """

    slug: str
    title: str
    header: list[str]
    rows: list[list[str]]
    numbers: pd.DataFrame
    notes: tuple[str, ...] = ()
    headings: int = 1
    runs: tuple[tuple[str, ...], ...] = ()
    columns: tuple[int, ...] = ()
    columns_rule: str = ""


MOST_ROWS = 300
"""Of a table in a page."""


def for_page(sheet: Sheet) -> Sheet:
    """What a page shows of a table: all, or of a large one a part, with a note that says which."""
    notes, header, rows, runs = sheet.notes, sheet.header, sheet.rows, sheet.runs
    if len(rows) > MOST_ROWS:
        notes += (f"the first {MOST_ROWS} of {len(rows)} rows; all are in tables/{sheet.slug}.csv",)
        rows, runs = rows[:MOST_ROWS], runs[:MOST_ROWS]
    if sheet.columns:
        notes += (sheet.columns_rule,)
        header = [header[at] for at in sheet.columns]
        rows = [[row[at] for at in sheet.columns] for row in rows]
    return replace(sheet, notes=notes, header=header, rows=rows, runs=runs)


_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\r", "＝", "＋", "－", "＠")


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV. A name that a spreadsheet would take for a formula has an apostrophe before it, and what cannot
    be seen in one is spelled out; numbers and what reads as one stay as they are."""

    def harmless(cell: object) -> object:
        if not isinstance(cell, str):
            return cell
        if cell.startswith(_FORMULA):
            try:
                float(cell)
            except ValueError:
                return f"'{visible(cell)}"
        return visible(cell)

    columns = [
        column if pd.api.types.is_numeric_dtype(column.dtype) else column.map(harmless)
        for _, column in frame.items()
    ]
    if not columns:
        return frame.to_csv(index=False)
    shown = pd.concat(columns, axis=1)
    shown.columns = pd.Index([harmless(name) for name in frame.columns])
    return shown.to_csv(index=False)


def render(sheet: Sheet, style: str) -> str:
    """One table as text, markdown, csv (numbers, not rounded), latex (booktabs) or json."""
    match style:
        case "csv":
            return as_csv(sheet.numbers)
        case "json":
            return to_json({sheet.title: sheet.numbers.to_dict("records")}, indent=1, ascii_only=True) + "\n"
        case "markdown":
            return _markdown(sheet)
        case "latex":
            return _latex(sheet)
        case _:
            return _text(sheet)


def _text(sheet: Sheet) -> str:
    header, *rows = [[in_one_line(cell) for cell in row] for row in [sheet.header, *sheet.rows]]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, ["-" * width for width in widths], *rows]
    ]
    return visible("\n".join([sheet.title, "", *lines, "", *sheet.notes, ""]))


def _markdown(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_in_markdown(" ".join(cell.split())) for cell in cells) + " |"

    body = [line(sheet.header), line(["---"] * len(sheet.header)), *map(line, sheet.rows)]
    notes = (f"{_in_markdown(note)}  " for note in sheet.notes)
    return "\n".join([f"**{_in_markdown(sheet.title)}**", "", *body, "", *notes, ""])


_MARKUP = re.compile(r"[\\`*<>\[\]|&]")
"""What would begin code, emphasis, HTML, a link, a cell or a character of HTML."""


def _in_markdown(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", in_one_line(text))


SPECIAL = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "\N{MINUS SIGN}": r"$-$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "{": r"\{",
    "}": r"\}",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _latex(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        shown = ["".join(SPECIAL.get(c, c) for c in visible(" ".join(cell.split()))) for cell in cells]
        # TeX reads an opening bracket after \\ as the size of a skip.
        if shown and shown[0].startswith("["):
            shown[0] = "{}" + shown[0]
        return " & ".join(shown) + r" \\"

    return "\n".join(
        [
            "% " + visible(" ".join(f"{sheet.title}; {'; '.join(sheet.notes)}".split())),
            rf"\begin{{tabular}}{{{'l' * len(sheet.header)}}}",
            r"\toprule",
            line(sheet.header),
            r"\midrule",
            *map(line, sheet.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
