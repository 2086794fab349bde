"""Small examples of what components are called with; the same on every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedskew.protocols import (
    AdversaryView,
    ClientUpdates,
    DatasetInfo,
    LabelArray,
    ParameterLayout,
    Rng,
    RoundRecord,
    ServerView,
    Shard,
    SplitView,
    ThreatModel,
)
from fedskew.seeding import stream

INFO = DatasetInfo("example", tuple(f"class-{i}" for i in range(10)), (1, 28, 28), (0.5,), (0.25,))
"""Ten classes of 28x28 grey images."""
LAYOUT = ParameterLayout(("weight", "bias"), ((4, 5), (4,)))
PARAMETERS = LAYOUT.total
CLIENTS = 20


def rng(number: int) -> Rng:
    """The rng of a component in a round."""
    return stream(0, "testing rng", number)


def matrix(rows: int, number: int, columns: int = PARAMETERS) -> Tensor:
    """Float32 [rows, columns]: a common direction, and every row's own part."""
    drawn = stream(0, "testing matrix", number).standard_normal((rows + 1, columns))
    return torch.from_numpy((0.1 * (drawn[0] + drawn[1:])).astype(np.float32))


def row(number: int) -> Tensor:
    """Float32 [P]."""
    return matrix(1, number)[0]


def updates(deltas: Tensor, *, start_losses: bool = False) -> ClientUpdates:
    """These updates, of clients with different numbers of examples."""
    count = len(deltas)
    before = 1 + torch.arange(count, dtype=torch.float64).cos()
    return ClientUpdates(
        deltas,
        num_examples=10 + torch.arange(count) ** 2,
        client_ids=1 + torch.arange(count),
        steps=2 + torch.arange(count) % 3,
        losses=0.5 + torch.arange(count, dtype=torch.float64) / 10,
        start_losses=before if start_losses else None,
    )


def server_view(number: int, *, root_update: bool = False) -> ServerView:
    """The server's view of a round."""
    return ServerView(
        round=number + 1,
        global_weights=row(100 + number),
        layout=LAYOUT,
        num_clients=CLIENTS,
        rng=rng(number),
        root_update=row(200 + number) if root_update else None,
        num_updates=11,
    )


def adversary_view(number: int, adversaries: int, threat: ThreatModel) -> AdversaryView:
    """The view of two adversaries, some of whom are in this cohort, under a threat model."""
    others = matrix(9, 300 + number)
    sees_all = threat.sees == "all-updates"

    def simulate(rows: Tensor, num_examples: Tensor | None = None) -> Tensor:
        return torch.cat([others, rows]).mean(dim=0)

    return AdversaryView(
        round=number + 1,
        global_weights=row(100 + number),
        layout=LAYOUT,
        client_ids=torch.arange(adversaries),
        num_examples=30 + torch.arange(adversaries),
        others=others.clone() if sees_all else None,
        other_ids=2 + torch.arange(len(others)) if sees_all else None,
        ranks=torch.arange(adversaries),
        count=2,
        simulate=simulate if threat.knows_defence else None,
        uploads={"control": matrix(adversaries, 400 + number), "count": 5 + torch.arange(adversaries)},
    )


def labels(count: int) -> LabelArray:
    """Int64 [count] in ten classes, in random order."""
    return stream(0, "testing labels", count).permutation(np.arange(count) % INFO.num_classes)


def split_view() -> SplitView:
    """1,000 of 1,200 training images, in ten classes, of 12 natural clients and two groups, and 200 test images."""
    names = tuple(f"client-{i}" for i in range(12))
    info = replace(INFO, client_names=names, group_names=("a", "b"))
    numbers = np.arange(1200)
    positions = np.delete(numbers, numbers[::6])
    whole = SplitView(labels(1200), numbers, 1200, info, numbers % 12, numbers % 2, 200, np.arange(200) % 12)
    return whole.only(positions)


def shard(count: int, info: DatasetInfo = INFO) -> Shard:
    """Samples and labels of one client."""
    pixels = stream(0, "testing images", count).integers(0, 200, (count, *info.image_shape), dtype=np.uint8)
    return Shard(torch.from_numpy(pixels).to(info.dtype), torch.from_numpy(labels(count)), rank=0, count=2)


def history(rounds: int) -> list[RoundRecord]:
    """Records of a run whose losses fall and then rise."""
    losses = [1.0 + 0.1 * abs(number - 4) for number in range(rounds)]
    return [
        RoundRecord(
            round=number + 1,
            metrics={
                "train_loss": loss,
                "validation_loss": loss + 0.1,
                "test_loss": loss + 0.2,
                "accuracy": 0.5,
            },
            per_class_accuracy=[0.5] * INFO.num_classes,
            cohort=[0, 1, 2],
            rejected=[],
            empty=[],
            trace={},
        )
        for number, loss in enumerate(losses)
    ]


def scattered(tensor: Tensor) -> Tensor:
    """The same numbers [n, m] in memory that is not contiguous."""
    return tensor.T.clone(memory_format=torch.contiguous_format).T


def each(count: int, make: Callable[[int], dict[str, Any]]) -> list[Callable[[], dict[str, Any]]]:
    """One ``make`` for each of ``count`` rounds."""
    return [partial(make, number) for number in range(count)]
