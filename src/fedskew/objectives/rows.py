"""The built-in local objectives."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "objective": {
        "none": Row("fedskew.objectives.none:none", "the loss alone", facts=Facts(factory=True, blind=True)),
        "fedprox": Row(
            "fedskew.objectives.fedprox:fedprox",
            "plus mu/2 times the squared distance from the start weights",
            {"mu": REQUIRED, "decoupled": False},
            Facts(factory=True, blind=True),
        ),
    }
}
