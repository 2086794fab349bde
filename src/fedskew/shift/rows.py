"""The built-in shifts."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

_IMAGES = Facts(values=("pixels",))

ROWS = {
    "shift": {
        "none": Row("fedskew.shift.none:none", "data as the data set has it", facts=Facts(harmless=True)),
        "rotation": Row(
            "fedskew.shift.rotation:rotation",
            "covariate shift: each client's images are turned by an angle of its own",
            {"degrees": REQUIRED},
            _IMAGES,
        ),
        "contrast": Row(
            "fedskew.shift.contrast:contrast",
            "covariate shift: each client's images have a contrast of their own",
            {"strength": REQUIRED},
            _IMAGES,
        ),
        "noise": Row(
            "fedskew.shift.noise:noise",
            "covariate shift: noise in each client's images, the more the larger its number",
            {"std": REQUIRED},
            _IMAGES,
        ),
        "label-noise": Row(
            "fedskew.shift.label_noise:label_noise",
            "concept shift: each client gives a share of its images a wrong label",
            {"rate": REQUIRED},
        ),
    }
}
