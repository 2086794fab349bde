"""The built-in privacy attacks."""

from __future__ import annotations

from fedskew.components.row import Facts, Row


def _row(
    target: str, summary: str, options: dict[str, object] | None = None, *, planted: bool = False
) -> Row:
    return Row(f"fedskew.privacy.{target}", summary, options or {}, Facts(factory=True, planted=planted))


ROWS = {
    "privacy-attack": {
        "loss-threshold": _row(
            "loss_threshold:loss_threshold", "an outsider: records with a low loss were trained on"
        ),
        "delta-loss": _row(
            "delta_loss:delta_loss",
            "the server: records whose loss a client's update lowers are the client's",
        ),
        "delta-cosine": _row(
            "delta_cosine:delta_cosine",
            "the server: records against whose gradient a client's update points are the client's",
        ),
        "fed-mia": _row(
            "fed_mia:fed_mia",
            "the server: records on which a client's update stands out from the others' are the client's",
            {"measure": "cosine"},
        ),
        "rmia": _row(
            "rmia:rmia",
            "an outsider: records that the model makes likelier than models that never saw them were trained on",
            {"references": 2, "rounds": 10, "a": 0.3, "gamma": 1.0},
        ),
        "aggregate-loss": _row(
            "aggregate_loss:aggregate_loss",
            "who sees only sums: records whose loss the aggregate lowers were trained on",
        ),
        "source-inference": _row(
            "source_inference:source_inference",
            "the server: a record is held by the client whose local model has the lowest loss on it",
        ),
        "label-inference": _row(
            "label_inference:label_inference",
            "the server: the mix of classes of each client, from its update",
            {"method": "simulated", "virtual": 30},
        ),
        "property-inference": _row(
            "property_inference:property_inference",
            "the server: updates of holders of a planted property look like those of virtual clients that have it",
            {"virtual": 20, "images": None},
            planted=True,
        ),
    },
}
