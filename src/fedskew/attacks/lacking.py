"""What makes an attack useless whatever happens in a run (``Facts.lacking``). Imports no PyTorch.

Each function is (options, clients of a round n, adversaries of the run) -> why, as a clause about the attack, or "".
Where cohorts are sampled, a round may have any number of adversaries from 1 to the smaller of the two; these look at
the number that suits the attack best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flips_nothing(options: Mapping[str, Any], clients: int, adversaries: int) -> str:
    """Label flips: classes that are missing, or that the map has no use for."""
    given = [name for name in ("source", "target") if options.get(name) is not None]
    if options["map"] != "pair":
        return f"takes no {given[0]} with map = {options['map']!r}, only with map = 'pair'" if given else ""
    if len(given) < 2:
        return "needs source and target with map = 'pair'"
    same = options["source"] == options["target"]
    return f"flips nothing: its source and its target are both {options['source']!r}" if same else ""
