"""The built-in components: what each is called, where its code is, what it does and its options.

A table of plain text, so that names and options can be listed and checked without importing PyTorch. A test
holds every row against the signature of the function it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Required:
    """Marks an option without a default."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


@dataclass(frozen=True)
class Entry:
    """One component.

    Attributes:
        target: ``"package.module:function"``, imported when first used.
        summary: one line for ``fedskew list``.
        options: name -> default, or REQUIRED.
    """

    target: str
    summary: str
    options: dict[str, Any] = field(default_factory=dict)


BUILT_IN: dict[str, dict[str, Entry]] = {
    "dataset": {
        "digits": Entry("fedskew.datasets.digits:digits", "scikit-learn's 8x8 digits; embedded, no download"),
        "fashion-mnist": Entry("fedskew.datasets.idx:fashion_mnist", "Fashion-MNIST, 28x28 grey, 10 classes"),
        "mnist": Entry("fedskew.datasets.idx:mnist", "MNIST, 28x28 grey, 10 classes"),
        "cifar-10": Entry("fedskew.datasets.cifar:cifar10", "CIFAR-10, 32x32 colour, 10 classes"),
        "npz": Entry(
            "fedskew.datasets.npz:npz",
            "your own arrays: x_train, y_train, x_test, y_test in one .npz file",
            {"path": REQUIRED, "layout": None},
        ),
    },
    "split": {
        "iid": Entry("fedskew.partition.iid:iid", "uniformly at random, equal sizes"),
        "dirichlet": Entry(
            "fedskew.partition.dirichlet:dirichlet",
            "label skew: each class spread by one draw from Dirichlet(alpha) (the paper's)",
            {"alpha": REQUIRED, "remainder": "first", "min_size": 0, "max_draws": 1000},
        ),
        "shards": Entry(
            "fedskew.partition.shards:shards",
            "label skew: each client holds a fixed number of classes",
            {"classes_per_client": REQUIRED},
        ),
        "quantity": Entry(
            "fedskew.partition.quantity:quantity",
            "size skew: sizes by one draw from Dirichlet(alpha), labels alike",
            {"alpha": REQUIRED, "min_size": 0, "max_draws": 1000},
        ),
    },
    "model": {
        "lenet": Entry("fedskew.models.lenet:lenet", "the paper's LeNet (61,706 parameters at 28x28 grey)"),
        "cnn6": Entry(
            "fedskew.models.cnn6:cnn6",
            "the paper's 6-layer CNN with dropout (537,610 parameters at 32x32 colour)",
            {"dropout": 0.5},
        ),
        "mlp": Entry("fedskew.models.mlp:mlp", "fully connected, ReLU", {"hidden": [64]}),
        "small-cnn": Entry(
            "fedskew.models.small_cnn:small_cnn",
            "two 3x3 convolutions and a linear layer",
            {"width": 8},
        ),
    },
    "trigger": {
        "plus": Entry(
            "fedskew.attacks.triggers:plus",
            "the paper's 5x5 plus, top left; scaled for images smaller than 28x28",
            {"row": None, "column": None, "size": None, "value": 255},
        ),
        "square": Entry(
            "fedskew.attacks.triggers:square",
            "a filled square, bottom right; scaled for images smaller than 28x28",
            {"row": None, "column": None, "size": None, "value": 255},
        ),
        "mask": Entry(
            "fedskew.attacks.triggers:mask",
            "any pattern from a .npy file: 0 keeps the pixel, any other value replaces it",
            {"path": REQUIRED, "value": None},
        ),
    },
    "attack": {
        "none": Entry("fedskew.attacks.none:none", "adversaries that behave honestly"),
        "backdoor": Entry(
            "fedskew.attacks.backdoor:backdoor",
            "trojan: a trigger and the target's label on a part of the adversaries' data (the paper's)",
            {
                "target": REQUIRED,
                "poison_fraction": 1.0,
                "trigger": {"name": "plus"},
                "source_classes": None,
                "projection": None,
                "epochs": None,
                "batch_size": None,
                "lr": None,
                "report": 1.0,
            },
        ),
        "sign-flip": Entry(
            "fedskew.attacks.sign_flip:sign_flip",
            "each adversary sends its own update with the sign turned",
            {"scale": 1.0},
        ),
        "free-rider": Entry(
            "fedskew.attacks.free_rider:free_rider",
            "adversaries train nothing and send how the global model has changed",
            {"noise": 0.0},
        ),
        "opt-ipm": Entry(
            "fedskew.attacks.opt_ipm:opt_ipm",
            "against the honest mean, as far as harms most; tries rows on the run's own defence",
            {"evaluations": 20, "step": 10.0},
        ),
    },
    "selection": {
        "uniform": Entry("fedskew.selection.uniform:uniform", "uniformly at random, without replacement"),
        "power-of-choice": Entry(
            "fedskew.selection.power_of_choice:power_of_choice",
            "of some candidates, those on whose data the global model's loss is highest",
            {"candidates": REQUIRED},
        ),
    },
    "start": {
        "global": Entry("fedskew.federation.start:from_global", "from the global weights"),
        "stale": Entry(
            "fedskew.federation.start:stale",
            "each client from the global weights of up to `delay` rounds ago, drawn anew each round",
            {"delay": REQUIRED},
        ),
    },
    "objective": {
        "none": Entry("fedskew.objectives.none:none", "the loss alone"),
        "fedprox": Entry(
            "fedskew.objectives.fedprox:fedprox",
            "plus mu/2 times the squared distance from where the round started",
            {"mu": REQUIRED},
        ),
    },
    "transform": {
        "clip": Entry(
            "fedskew.aggregation.transforms:clip", "scale each update down to an L2 norm", {"norm": REQUIRED}
        ),
        "noise": Entry(
            "fedskew.aggregation.transforms:noise", "add Gaussian noise to each update", {"std": REQUIRED}
        ),
        "bucketing": Entry(
            "fedskew.aggregation.bucketing:bucketing",
            "average clients in small random groups",
            {"size": 2},
        ),
    },
    "aggregator": {
        "fedavg": Entry("fedskew.aggregation.mean:fedavg", "mean weighted by the number of examples n_k"),
        "mean": Entry("fedskew.aggregation.mean:mean", "unweighted mean"),
        "median": Entry("fedskew.aggregation.median:median", "coordinate-wise median"),
        "krum": Entry(
            "fedskew.aggregation.krum:krum",
            "the updates closest to their nearest neighbours; more than one selected is Multi-Krum",
            {"f": REQUIRED, "selected": 1},
        ),
        "dnc": Entry(
            "fedskew.aggregation.dnc:dnc",
            "mean without the outliers along the main direction of random coordinates (divide and conquer)",
            {"f": REQUIRED, "iterations": 5, "dimensions": 10_000, "factor": 1.0},
        ),
        "fltrust": Entry(
            "fedskew.aggregation.fltrust:fltrust",
            "mean weighted by the likeness to an update on the server's own images",
            {"images": 100},
        ),
    },
    "learning-rate": {
        "constant": Entry(
            "fedskew.aggregation.learning_rate:constant", "the server's learning rate as it is"
        ),
        "rlr": Entry(
            "fedskew.aggregation.learning_rate:rlr",
            "robust learning rate: negative where fewer than theta signs agree (the paper's defence)",
            {"theta": REQUIRED},
        ),
    },
    "server-step": {
        "plain": Entry("fedskew.server.plain:plain", "the aggregated update as it is"),
        "momentum": Entry(
            "fedskew.server.momentum:momentum", "server momentum (FedAvgM)", {"beta": REQUIRED}
        ),
        "adam": Entry("fedskew.server.adaptive:adam", "FedAdam", {"beta1": 0.9, "beta2": 0.99, "tau": 0.001}),
        "yogi": Entry("fedskew.server.adaptive:yogi", "FedYogi", {"beta1": 0.9, "beta2": 0.99, "tau": 0.001}),
    },
    "lr-schedule": {
        "constant": Entry("fedskew.rules.schedules:constant", "the clients' learning rate as it is"),
        "plateau": Entry(
            "fedskew.rules.schedules:plateau",
            "scaled down each time a loss has not improved for some rounds",
            {"monitor": "validation_loss", "factor": 0.5, "patience": 5},
        ),
        "exponential": Entry(
            "fedskew.rules.schedules:exponential", "scaled by gamma every round", {"gamma": REQUIRED}
        ),
    },
    "stopping": {
        "plateau": Entry(
            "fedskew.rules.stopping:plateau",
            "stop when a loss has not improved for `patience` rounds",
            {"monitor": "train_loss", "patience": 10, "min_delta": 0.0},
        ),
        "rounds": Entry("fedskew.rules.stopping:rounds", "run all rounds"),
    },
    "metric": {},
    "client-metric": {},
    "observer": {
        "update-norms": Entry(
            "fedskew.federation.observers:update_norms",
            "the server: the largest L2 norm of a round's updates over their median",
        ),
    },
    "callback": {
        "tensorboard": Entry(
            "fedskew.trackers.tensorboard:tensorboard",
            "--track: scalars of every round for TensorBoard (the authors' tracker)",
            {"where": None},
        ),
        "mlflow": Entry(
            "fedskew.trackers.mlflow:mlflow",
            "--track: an MLflow experiment per study, an MLflow run per run",
            {"where": None},
        ),
    },
}
