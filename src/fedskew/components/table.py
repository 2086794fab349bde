"""The built-in components by kind and name, merged from the rows that each package keeps."""

from __future__ import annotations

import importlib

from fedskew.components.row import Row
from fedskew.components.seams import SEAMS

PACKAGES = (
    "datasets",
    "partition",
    "shift",
    "models",
    "attacks",
    "aggregation",
    "objectives",
    "personal",
    "selection",
    "server",
    "rules",
    "federation",
    "privacy",
    "trackers",
)
"""Packages with components. They are below this one, so only their rows are imported, and by name."""


def _merged() -> dict[str, dict[str, Row]]:
    table: dict[str, dict[str, Row]] = {kind: {} for kind in SEAMS}
    for package in PACKAGES:
        rows: dict[str, dict[str, Row]] = importlib.import_module(f"fedskew.{package}.rows").ROWS
        for kind, named in rows.items():
            table[kind] |= named
    return table


BUILT_IN: dict[str, dict[str, Row]] = _merged()
"""kind -> name -> row. A test compares every row with the signature of the function that it names."""
