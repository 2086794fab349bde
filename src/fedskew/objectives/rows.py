"""The built-in local objectives."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row, always

ROWS = {
    "objective": {
        "none": Row("fedskew.objectives.none:none", "the loss alone", facts=Facts(factory=True, blind=True)),
        "fedprox": Row(
            "fedskew.objectives.fedprox:fedprox",
            "plus mu/2 times the squared distance from the start weights",
            {"mu": REQUIRED, "decoupled": False},
            Facts(factory=True, blind=True),
        ),
        "fedlc": Row(
            "fedskew.objectives.fedlc:fedlc",
            "logits calibrated by how many images of a class the client has",
            {"tau": 1.0},
            Facts(factory=True, blind=True),
        ),
        "fedrs": Row(
            "fedskew.objectives.fedrs:fedrs",
            "smaller logits of classes that the client lacks",
            {"alpha": 0.5},
            Facts(factory=True, blind=True),
        ),
        "logit-adjustment": Row(
            "fedskew.objectives.logit_adjustment:logit_adjustment",
            "logits plus the log of the client's label mix (tau = 1: balanced softmax)",
            {"tau": 1.0},
            Facts(factory=True, blind=True),
        ),
        "fedsam": Row(
            "fedskew.objectives.fedsam:fedsam",
            "the gradient at the worst point nearby; two passes a step",
            {"rho": 0.05},
            Facts(factory=True, blind=True),
        ),
        "scaffold": Row(
            "fedskew.objectives.scaffold:scaffold",
            "steps corrected by the mean gradient of all clients less the client's own",
            facts=Facts(factory=True, sums=always),
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
            Facts(factory=True, sums=always),
        ),
    }
}
