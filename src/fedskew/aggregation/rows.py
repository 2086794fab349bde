"""The built-in update transforms, aggregators and server learning-rate rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fedskew.aggregation.subsets import SUBSETS, largest_round
from fedskew.components.row import REQUIRED, Facts, Row, always
from fedskew.rounding import whole

_MAJORITY = Facts(
    always_acts=True, clients=lambda options: 2 * options["f"] + 1, clients_why="more than twice f updates"
)


def _other_momentum(options: Mapping[str, Any], optimizer: Any) -> str:
    """Why FedNova counts steps wrongly for clients with this optimiser; "" if it does not."""
    there = optimizer.momentum if optimizer.name == "sgd" else 0.0
    if options["momentum"] != there:
        return (
            f"with momentum = {options['momentum']:g} counts what steps are worth under SGD with that momentum, and "
            f"clients train with {optimizer.name}"
            + (f" and momentum {there:g}" if there else " without momentum")
        )
    if there and optimizer.state == "persist":
        return 'counts a momentum that begins at 0 in each round, and training.optimizer.state = "persist"'
    return ""


_FAIR = Facts(factory=True, defends=False, each_client="the loss of each client")

ROWS = {
    "transform": {
        "clip": Row(
            "fedskew.aggregation.transforms:clip",
            "scale each update down to an L2 norm, or to the median one",
            {"norm": REQUIRED},
            Facts(norm_bound="norm", sums=lambda options: options["norm"] != "median"),
        ),
        "noise": Row(
            "fedskew.aggregation.transforms:noise",
            "add Gaussian noise to each update",
            {"std": REQUIRED},
            Facts(always_acts=True, sums=always),
        ),
        "nnm": Row(
            "fedskew.aggregation.nnm:nnm",
            "the mean of each update and those nearest to it (nearest-neighbour mixing)",
            {"f": REQUIRED},
            replace(_MAJORITY, merges=lambda options: True),
        ),
        "arc": Row(
            "fedskew.aggregation.arc:arc",
            "the longest updates clipped to the length of the next one (adaptive robust clipping)",
            {"f": REQUIRED},
            _MAJORITY,
        ),
        "bucketing": Row(
            "fedskew.aggregation.bucketing:bucketing",
            "means of a few updates each, drawn at random; fewer and more similar rows",
            {"size": 2},
            Facts(
                always_acts=True,
                rows=lambda updates, options: math.ceil(updates / options["size"]),
                merges=lambda options: options["size"] > 1,
            ),
        ),
        "fednova": Row(
            "fedskew.aggregation.fednova:fednova",
            "updates of clients that take unequal numbers of steps, brought to the same progress (FedNova)",
            {"momentum": 0.0, "weights": "n_k"},
            Facts(
                defends=False,
                each_client="the number of steps of each client",
                steps=True,
                unsuited=_other_momentum,
                sums=always,
            ),
        ),
    },
    "aggregator": {
        "fedavg": Row(
            "fedskew.aggregation.mean:fedavg",
            "mean weighted by the number of examples n_k",
            facts=Facts(defends=False, sums=always),
        ),
        "mean": Row(
            "fedskew.aggregation.mean:mean", "unweighted mean", facts=Facts(defends=False, sums=always)
        ),
        "median": Row(
            "fedskew.aggregation.median:median", "coordinate-wise median", facts=Facts(always_acts=True)
        ),
        "trimmed-mean": Row(
            "fedskew.aggregation.trimmed_mean:trimmed_mean",
            "coordinate-wise mean without the b largest and the b smallest values",
            {"b": REQUIRED},
            Facts(
                always_acts=True,
                clients=lambda options: 2 * options["b"] + 1,
                clients_why="it leaves out 2b of them",
            ),
        ),
        "meamed": Row(
            "fedskew.aggregation.meamed:meamed",
            "coordinate-wise mean of the values nearest to the median (mean around the median)",
            {"f": REQUIRED},
            _MAJORITY,
        ),
        "geometric-median": Row(
            "fedskew.aggregation.geometric_median:geometric_median",
            "the point with the smallest sum of distances to the updates (RFA)",
            {"iterations": 100, "smoothing": 1e-5, "weighted": False},
            Facts(always_acts=True),
        ),
        "krum": Row(
            "fedskew.aggregation.krum:krum",
            "the update closest to its neighbours (Krum)",
            {"f": REQUIRED},
            Facts(
                always_acts=True, clients=lambda options: 2 * options["f"] + 3, clients_why="2f + 3 updates"
            ),
        ),
        "multi-krum": Row(
            "fedskew.aggregation.multi_krum:multi_krum",
            "the mean of the m updates closest to their neighbours",
            {"f": REQUIRED, "m": REQUIRED},
            Facts(
                always_acts=True,
                clients=lambda options: max(2 * options["f"] + 3, options["m"] + options["f"]),
                clients_why="2f + 3 updates, and no fewer than m + f",
            ),
        ),
        "bulyan": Row(
            "fedskew.aggregation.bulyan:bulyan",
            "coordinate-wise mean near the median of the updates that Krum takes one after another",
            {"f": REQUIRED},
            Facts(
                always_acts=True,
                clients=lambda options: 4 * options["f"] + 3,
                clients_why="4f + 3 updates",
            ),
        ),
        "mda": Row(
            "fedskew.aggregation.mda:mda",
            "the mean of the updates that lie closest together (minimum-diameter averaging)",
            {"f": REQUIRED},
            replace(
                _MAJORITY,
                most=lambda options: largest_round(options["f"]),
                most_why=f"it looks at every way to leave out f of them, at no more than {SUBSETS:,}",
            ),
        ),
        "centered-clipping": Row(
            "fedskew.aggregation.centered_clipping:centered_clipping",
            "the previous aggregate, moved by updates that are clipped around it",
            {"tau": 1.0, "iterations": 1},
            Facts(factory=True, always_acts=True),
        ),
        "sign-majority": Row(
            "fedskew.aggregation.sign_majority:sign_majority",
            "a fixed step in the direction in which most updates go, for each parameter",
            {"step": REQUIRED},
            Facts(always_acts=True, sums=always),
        ),
        "sparse-fed": Row(
            "fedskew.aggregation.sparse_fed:sparse_fed",
            "the largest entries of the mean; the others are kept for later rounds (SparseFed)",
            {"share": REQUIRED},
            Facts(factory=True, always_acts=True, sums=always),
        ),
        "dnc": Row(
            "fedskew.aggregation.dnc:dnc",
            "the mean without outliers along the main direction of the updates (Divide and Conquer)",
            {"f": REQUIRED, "iterations": 5, "dimensions": 10000, "factor": 1.0},
            Facts(
                always_acts=True,
                clients=lambda options: max(2 * options["f"], whole(options["factor"] * options["f"])) + 1,
                clients_why="more than twice f updates, and more than the factor * f that it leaves out",
            ),
        ),
        "fltrust": Row(
            "fedskew.aggregation.fltrust:fltrust",
            "updates weighted by their similarity to training on the server's own images",
            {"images": 100},
            Facts(factory=True, always_acts=True, server_data="images"),
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
            Facts(factory=True, always_acts=True, private=True, norm_bound="clip", sums=always),
        ),
        "q-fedavg": Row(
            "fedskew.aggregation.q_fedavg:q_fedavg",
            "more weight for clients with a higher loss before training, to the power of q (q-FedAvg)",
            {"q": REQUIRED, "lipschitz": REQUIRED},
            replace(_FAIR, sums=always),
        ),
        "afl": Row(
            "fedskew.aggregation.afl:afl",
            "the mixture of clients with the highest loss, learned along with the model (AFL)",
            {"gamma": REQUIRED},
            _FAIR,
        ),
        "term": Row(
            "fedskew.aggregation.term:term",
            "weights tilted by the loss before training: t > 0 to the clients that fit worst, t < 0 best (TERM)",
            {"t": REQUIRED},
            replace(_FAIR, defends=True, always_acts=True, sums=always),
        ),
        "fedmgda": Row(
            "fedskew.aggregation.fedmgda:fedmgda",
            "the shortest mixture of the updates' directions; with epsilon = 1 no client loses along it (FedMGDA+)",
            {"epsilon": REQUIRED},
            Facts(always_acts=True, defends=False),
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
            "robust learning rate: negative where the signs' sum is below theta in size (the paper's defence)",
            {"theta": REQUIRED},
            Facts(
                clients=lambda options: options["theta"],
                clients_why="with fewer it turns every parameter's learning rate negative",
                sums=always,
            ),
        ),
        "fedexp": Row(
            "fedskew.aggregation.fedexp:fedexp",
            "a higher learning rate the less the updates agree (FedExP)",
            {"eps": 0.001},
            Facts(defends=False, sums=always),
        ),
    },
}
