"""The built-in models."""

from __future__ import annotations

from fedskew.components.row import Facts, Row

_NORM = {"norm": "none", "groups": 2}
_IMAGES = Facts(values=("pixels",))

ROWS = {
    "model": {
        "lenet": Row(
            "fedskew.models.lenet:lenet",
            "the paper's LeNet (61,706 parameters at 28x28 grey)",
            _NORM,
            _IMAGES,
        ),
        "cnn6": Row(
            "fedskew.models.cnn6:cnn6",
            "the paper's 6-layer CNN with dropout (537,610 parameters at 32x32 colour)",
            {"dropout": 0.5, **_NORM},
            _IMAGES,
        ),
        "mlp": Row(
            "fedskew.models.mlp:mlp",
            "fully connected, ReLU",
            {"hidden": [64]},
            Facts(values=("pixels", "numbers")),
        ),
        "small-cnn": Row(
            "fedskew.models.small_cnn:small_cnn",
            "two 3x3 convolutions and a linear layer",
            {"width": 8, **_NORM},
            _IMAGES,
        ),
    }
}
