"""A table as a reader sees it, and how it is written: text, Markdown, CSV, LaTeX (booktabs), JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from fedskew.files import to_json

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


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV. A name that a spreadsheet would take for a formula has an apostrophe before it; numbers and what
    reads as one stay as they are."""

    def harmless(cell: object) -> object:
        if not isinstance(cell, str) or not cell.startswith(_FORMULA):
            return cell
        try:
            float(cell)
        except ValueError:
            return f"'{cell}"
        return cell

    named = frame.rename(columns=harmless)
    texts = [name for name, kind in named.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    return named.assign(**{str(name): named[name].map(harmless) for name in texts}).to_csv(index=False)


def render(sheet: Sheet, style: str) -> str:
    """One table as text, markdown, csv (numbers, not rounded), latex (booktabs) or json."""
    match style:
        case "csv":
            return as_csv(sheet.numbers)
        case "json":
            return to_json({sheet.title: sheet.numbers.to_dict("records")}, indent=1) + "\n"
        case "markdown":
            return _markdown(sheet)
        case "latex":
            return _latex(sheet)
        case _:
            return _text(sheet)


def _text(sheet: Sheet) -> str:
    widths = [max(len(row[i]) for row in [sheet.header, *sheet.rows]) for i in range(len(sheet.header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [sheet.header, ["-" * width for width in widths], *sheet.rows]
    ]
    return "\n".join([sheet.title, "", *lines, "", *sheet.notes, ""])


def _markdown(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    body = [line(sheet.header), line(["---"] * len(sheet.header)), *map(line, sheet.rows)]
    return "\n".join([f"**{sheet.title}**", "", *body, "", *(f"{note}  " for note in sheet.notes), ""])


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
        shown = ["".join(SPECIAL.get(c, c) for c in " ".join(cell.split())) for cell in cells]
        # TeX reads an opening bracket after \\ as the size of a skip.
        if shown and shown[0].startswith("["):
            shown[0] = "{}" + shown[0]
        return " & ".join(shown) + r" \\"

    return "\n".join(
        [
            "% " + " ".join(f"{sheet.title}; {'; '.join(sheet.notes)}".split()),
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
