"""How much an audit does, and how each data set is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["quick", "standard", "thorough"]
LEVELS: tuple[Level, ...] = ("quick", "standard", "thorough")


@dataclass(frozen=True)
class Extent:
    """Attributes:
    alphas: concentrations of the Dirichlet split, from even to uneven.
    seeds: of each cell.
    against: what a defence is compared with, besides no defence.
    """

    alphas: tuple[float, ...]
    seeds: int
    against: tuple[str, ...]


EXTENTS: Mapping[Level, Extent] = {
    "quick": Extent((10.0, 0.3), 3, ("median", "rlr")),
    "standard": Extent((10.0, 1.0, 0.3), 5, ("median", "rlr", "multi-krum", "clip")),
    "thorough": Extent(
        (100.0, 1.0, 0.5, 0.25, 0.1),
        10,
        ("median", "rlr", "multi-krum", "clip", "trimmed-mean", "geometric-median", "nnm + trimmed-mean"),
    ),
}
"""alpha = 100 is practically an even split."""

_DIGITS: Mapping[str, Any] = {
    "model": {"name": "mlp", "hidden": [64]},
    "training": {
        "epochs": 2,
        "batch_size": 32,
        "optimizer": {"name": "adam", "lr": 0.01, "state": "persist"},
    },
}
_IMAGES: Mapping[str, Any] = {
    "model": "lenet",
    "training": {
        "epochs": 2,
        "batch_size": 256,
        "optimizer": {"name": "adam", "lr": 0.001, "state": "persist"},
    },
}
TRAINED: Mapping[str, tuple[Mapping[str, Any], tuple[int, int, int]]] = {
    "digits": (_DIGITS, (20, 40, 40)),
    "mnist": (_IMAGES, (15, 30, 60)),
    "fashion-mnist": (_IMAGES, (15, 30, 60)),
    "cifar-10": ({**_IMAGES, "model": "cnn6"}, (20, 40, 60)),
}
"""Data set -> (model and training, rounds at each level): those of the paper's code, for digits of the quickstart."""
OTHERS: tuple[Mapping[str, Any], tuple[int, int, int]] = (
    {**_DIGITS, "training": {**_IMAGES["training"], "batch_size": 32}},
    (20, 40, 40),
)
"""Of data sets that are not in the table."""
