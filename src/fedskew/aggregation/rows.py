"""The built-in update transforms, aggregators and server learning-rate rules."""

from __future__ import annotations

import math

from fedskew.components.row import REQUIRED, Facts, Row
from fedskew.rounding import whole

ROWS = {
    "transform": {
        "clip": Row(
            "fedskew.aggregation.transforms:clip", "scale each update down to an L2 norm", {"norm": REQUIRED}
        ),
        "noise": Row(
            "fedskew.aggregation.transforms:noise",
            "add Gaussian noise to each update",
            {"std": REQUIRED},
            Facts(always_acts=True),
        ),
        "bucketing": Row(
            "fedskew.aggregation.bucketing:bucketing",
            "means of a few updates each, drawn at random; fewer and more similar rows",
            {"size": 2},
            Facts(always_acts=True, rows=lambda updates, options: math.ceil(updates / options["size"])),
        ),
    },
    "aggregator": {
        "fedavg": Row(
            "fedskew.aggregation.mean:fedavg",
            "mean weighted by the number of examples n_k",
            facts=Facts(defends=False),
        ),
        "mean": Row("fedskew.aggregation.mean:mean", "unweighted mean", facts=Facts(defends=False)),
        "median": Row(
            "fedskew.aggregation.median:median", "coordinate-wise median", facts=Facts(always_acts=True)
        ),
        "krum": Row(
            "fedskew.aggregation.krum:krum",
            "the update, or the mean of a few, closest to its neighbours (Krum, Multi-Krum)",
            {"f": REQUIRED, "selected": 1},
            Facts(
                always_acts=True,
                clients=lambda options: max(2 * options["f"] + 3, options["selected"]),
                clients_why="2f + 3 updates, and no fewer than it selects",
            ),
        ),
        "dnc": Row(
            "fedskew.aggregation.dnc:dnc",
            "the mean without outliers along the main direction of the updates (Divide and Conquer)",
            {"f": REQUIRED, "iterations": 5, "dimensions": 10000, "factor": 1.0},
            Facts(
                always_acts=True,
                clients=lambda options: whole(options["factor"] * options["f"]) + 1,
                clients_why="it leaves out factor * f of them",
            ),
        ),
        "fltrust": Row(
            "fedskew.aggregation.fltrust:fltrust",
            "updates weighted by their similarity to training on the server's own images",
            {"images": 100},
            Facts(factory=True, always_acts=True),
        ),
        "foolsgold": Row(
            "fedskew.aggregation.foolsgold:foolsgold",
            "less weight for clients whose updates so far are alike",
            {"step": "mean"},
            Facts(factory=True, always_acts=True),
        ),
        "flame": Row(
            "fedskew.aggregation.flame:flame",
            "the models that more than half of the clients agree on, clipped and noised",
            {"noise": 0.001},
            Facts(always_acts=True),
        ),
        "align-ins": Row(
            "fedskew.aggregation.align_ins:align_ins",
            "without updates of unusual direction or signs, clipped (AlignIns)",
            {"lambda_s": 1.0, "lambda_c": 1.0, "sparsity": 0.3},
            Facts(
                always_acts=True,
                clients=lambda options: 3 if min(options["lambda_s"], options["lambda_c"]) <= 1 else 1,
                clients_why="each of two lies one standard deviation from their median",
            ),
        ),
        "multi-metrics": Row(
            "fedskew.aggregation.multi_metrics:multi_metrics",
            "the models closest to all others in angle, length and Manhattan distance together",
            {"share": 0.3},
            Facts(
                always_acts=True,
                clients=lambda options: 4,
                clients_why="the covariance of its three metrics needs as many",
            ),
        ),
        "dp-fedavg": Row(
            "fedskew.aggregation.dp_fedavg:dp_fedavg",
            "mean of clipped updates with Gaussian noise, and what privacy it gives a client",
            {"clip": REQUIRED, "noise_multiplier": REQUIRED, "delta": 1e-5},
            Facts(factory=True, always_acts=True, private=True),
        ),
    },
    "learning-rate": {
        "constant": Row(
            "fedskew.aggregation.learning_rate:constant",
            "the server's learning rate as it is",
            facts=Facts(defends=False, blind=True),
        ),
        "rlr": Row(
            "fedskew.aggregation.learning_rate:rlr",
            "robust learning rate: negative where fewer than theta signs agree (the paper's defence)",
            {"theta": REQUIRED},
            Facts(
                clients=lambda options: options["theta"],
                clients_why="with fewer it turns every parameter's learning rate negative",
            ),
        ),
    },
}
