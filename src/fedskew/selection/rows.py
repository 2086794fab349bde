"""The built-in rules that choose a round's cohort."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "selection": {
        "uniform": Row(
            "fedskew.selection.uniform:uniform",
            "uniformly at random, without replacement",
            facts=Facts(blind=True),
        ),
        "power-of-choice": Row(
            "fedskew.selection.power_of_choice:power_of_choice",
            "of some candidates, those on whose data the global model's loss is highest",
            {"candidates": REQUIRED},
            Facts(pool="candidates"),
        ),
    }
}
