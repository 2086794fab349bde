"""The built-in kinds of personal models."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "personal": {
        "none": Row(
            "fedskew.personal.none:none",
            "no personal models: clients use the global one",
            facts=Facts(factory=True, harmless=True),
        ),
        "ditto": Row(
            "fedskew.personal.ditto:ditto",
            "a model per client that lasts, pulled towards the global one",
            {"strength": REQUIRED, "epochs": None},
            Facts(factory=True),
        ),
        "fedbn": Row(
            "fedskew.personal.fedbn:fedbn",
            "each client keeps its normalisation layers for itself; for models that have them",
            facts=Facts(factory=True),
        ),
        "fine-tuning": Row(
            "fedskew.personal.fine_tuning:fine_tuning",
            "the global model, trained some more by each client when it is measured",
            {"epochs": None},
            Facts(factory=True),
        ),
    }
}
