"""The built-in components by kind and name, merged from the rows that each package keeps of its own."""

from __future__ import annotations

import importlib

from fedskew.components.row import Row
from fedskew.components.seams import SEAMS

PACKAGES = (
    "datasets",
    "partition",
    "models",
    "attacks",
    "aggregation",
    "objectives",
    "selection",
    "server",
    "rules",
    "federation",
    "trackers",
)
"""Those with components. They stand below this one, so they are imported by name, and only their rows."""


def _merged() -> dict[str, dict[str, Row]]:
    table: dict[str, dict[str, Row]] = {kind: {} for kind in SEAMS}
    for package in PACKAGES:
        rows: dict[str, dict[str, Row]] = importlib.import_module(f"fedskew.{package}.rows").ROWS
        for kind, named in rows.items():
            table[kind] |= named
    return table


BUILT_IN: dict[str, dict[str, Row]] = _merged()
"""kind -> name -> row. A test holds every row against the signature of the function that it names."""
