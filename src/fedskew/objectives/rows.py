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
        "scaffold": Row(
            "fedskew.objectives.scaffold:scaffold",
            "steps corrected by the mean gradient of all clients less the client's own",
            facts=Facts(factory=True),
        ),
        "feddyn": Row(
            "fedskew.objectives.feddyn:feddyn",
            "plus a penalty that makes the clients' optima agree; with server.step = 'feddyn'",
            {"alpha": REQUIRED},
            Facts(factory=True, blind=True, needs={"server.step": "feddyn"}),
        ),
        "fedcurv": Row(
            "fedskew.objectives.fedcurv:fedcurv",
            "plus the distance from the other clients' weights, where their losses are curved",
            {"strength": REQUIRED},
            Facts(factory=True),
        ),
    }
}
