"""What the data sets of a study are, without training: sizes and, for numbers, the features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedskew.protocols import Dataset


@dataclass(frozen=True)
class Feature:
    """One feature over all samples, of both parts.

    Attributes:
        kind: ``"always the same"``, ``"0 or 1"``, ``"whole numbers"`` or ``"numbers"``.
        low, high: the smallest and the largest value.
        mean: of the training part; for 0 or 1 the share of 1.
    """

    name: str
    kind: str
    low: float
    high: float
    mean: float


@dataclass(frozen=True)
class Described:
    """One data set.

    Attributes:
        name: as in the config.
        values: what its samples are made of.
        train, test: how many samples the parts have.
        shape: of one sample: (channels, height, width).
        classes: how many there are.
        features: of numbers; else empty.
    """

    name: str
    values: str
    train: int
    test: int
    shape: tuple[int, ...]
    classes: int
    features: tuple[Feature, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON-friendly values."""
        return asdict(self)


def described_data(datasets: Iterable[Dataset]) -> list[Described]:
    """Of each of these data sets, once, in their order."""
    return [_described(dataset) for dataset in {id(one): one for one in datasets}.values()]


def _described(dataset: Dataset) -> Described:
    info = dataset.info
    features: tuple[Feature, ...] = ()
    if info.values == "numbers":
        names = info.feature_names or tuple(map(str, range(info.image_shape[0])))
        features = tuple(_feature(dataset, place, name) for place, name in enumerate(names))
    return Described(
        info.name,
        info.values,
        len(dataset.y_train),
        len(dataset.y_test),
        tuple(info.image_shape),
        info.num_classes,
        features,
    )


def _feature(dataset: Dataset, place: int, name: str) -> Feature:
    parts = [samples[:, place, 0, 0] for samples in (dataset.x_train, dataset.x_test)]
    low = min(float(part.min()) for part in parts)
    high = max(float(part.max()) for part in parts)
    whole = all(bool((part == part.round()).all()) for part in parts)
    kind = "whole numbers" if whole else "numbers"
    if low == high:
        kind = "always the same"
    elif whole and (low, high) == (0, 1):
        kind = "0 or 1"
    return Feature(name, kind, low, high, dataset.info.mean[place])
