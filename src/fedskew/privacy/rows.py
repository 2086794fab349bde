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
        "source-inference": _row(
            "source_inference:source_inference",
            "the server: a record is held by the client whose local model has the lowest loss on it",
        ),
        "property-inference": _row(
            "property_inference:property_inference",
            "the server: updates of holders of a planted property look like those of virtual clients that have it",
            {"virtual": 20, "images": None},
            planted=True,
        ),
    },
}
