"""The built-in start weights and observers."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "start": {
        "global": Row("fedskew.federation.start:from_global", "from the global weights"),
        "stale": Row(
            "fedskew.federation.start:stale",
            "each client from the global weights of up to `delay` rounds ago, drawn again in each round",
            {"delay": REQUIRED},
            Facts(factory=True),
        ),
    },
    "observer": {
        "update-norms": Row(
            "fedskew.federation.observers:update_norms",
            "the server: the largest L2 norm of a round's updates over their median",
            facts=Facts(factory=True),
        ),
    },
}
