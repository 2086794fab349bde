"""Measures of any split, from its client x class table alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from fedskew.protocols import IndexArray, LabelArray

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


def label_counts(labels: LabelArray, shards: Sequence[IndexArray], num_classes: int) -> Counts:
    """The client x class table, int64 [K, C]."""
    sizes = [len(shard) for shard in shards]
    cells = np.repeat(np.arange(len(shards)) * num_classes, sizes) + labels[np.concatenate(shards)]
    return np.bincount(cells, minlength=len(shards) * num_classes).reshape(len(shards), num_classes)


@dataclass(frozen=True)
class Heterogeneity:
    """How uneven a split is. Means are over the clients that have data, each counting once.

    Attributes:
        total_variation: mean distance of a client's label distribution to the global mix, half the sum of
            absolute differences; 0 (alike) to below 1 (K disjoint clients of equal size: 1 - 1/K).
        jensen_shannon: the same as mean Jensen-Shannon distance (the square root of the divergence in bits);
            0 to below 1.
        effective_classes: mean of exp(entropy of a client's labels): 1 for a single class, C for all alike.
        size_gini: Gini coefficient of the shard sizes, clients without data included; 0 (equal) to below 1.
        smallest, largest: shard sizes.
        empty: clients without data.
    """

    total_variation: float
    jensen_shannon: float
    effective_classes: float
    size_gini: float
    smallest: int
    largest: int
    empty: int

    def as_dict(self) -> dict[str, float]:
        """Name -> number."""
        return asdict(self)


def distances(counts: Counts) -> Numbers:
    """How unusual each client's data is: the total variation distance of its label distribution to the mix of all of
    them, half the sum of absolute differences.

    Args:
        counts: client x class table, int64 [K, C], that holds at least one image.

    Returns:
        float64 [K], 0 (alike) to below 1; NaN for a client without data.
    """
    sizes = counts.sum(axis=1)
    local = counts[sizes > 0] / sizes[sizes > 0, np.newaxis]
    found = np.full(len(counts), np.nan)
    found[sizes > 0] = 0.5 * np.abs(local - counts.sum(axis=0) / counts.sum()).sum(axis=1)
    return found


def heterogeneity(counts: Counts) -> Heterogeneity:
    """The measures of a client x class table, int64 [K, C], that holds at least one image."""
    sizes = counts.sum(axis=1)
    full = counts[sizes > 0]
    local = full / full.sum(axis=1, keepdims=True)
    overall = counts.sum(axis=0) / counts.sum()
    # The divergence of two distributions is the entropy of their middle minus the mean of their entropies.
    divergence = _entropy((local + overall) / 2) - (_entropy(local) + _entropy(overall)) / 2
    ordered = np.sort(sizes)
    ranks = np.arange(1, len(sizes) + 1)
    gini = 2 * (ranks * ordered).sum() / (len(sizes) * ordered.sum()) - (len(sizes) + 1) / len(sizes)
    return Heterogeneity(
        total_variation=float(distances(full).mean()),
        jensen_shannon=float(np.sqrt(np.maximum(divergence, 0) / math.log(2)).mean()),
        effective_classes=float(_each(math.exp, _entropy(local)).mean()),
        size_gini=float(max(gini, 0.0)),
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        empty=int((sizes == 0).sum()),
    )


def _entropy(distribution: Numbers) -> Numbers:
    """In nats, over the last axis; 0 log 0 is 0."""
    logs = np.zeros_like(distribution)
    logs[distribution > 0] = _each(math.log, distribution[distribution > 0])
    entropy: Numbers = -(distribution * logs).sum(axis=-1)
    return entropy


def _each(function: Callable[[float], float], values: Numbers) -> Numbers:
    """A function of ``math`` of each number, [n]: NumPy's differ in the last bits between processors."""
    return np.fromiter(map(function, values.tolist()), np.float64, len(values))
