"""Who holds what: the split of the training images, and what it may see of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fedskew.protocols.data import Dataset, DatasetInfo, IndexArray, LabelArray, Rng


class Partitioner(Protocol):
    """Spreads training indices over clients: the short form of a split, which sees labels alone.

    Takes labels [N] and returns one int64 array of positions in ``labels`` per client: disjoint, together
    all of 0 .. N-1, an empty array for a client without data. One that states the fact ``leaves_out`` may give a
    position to no client, one that states ``shares`` to every client or to none. Draws only from ``rng``.
    """

    def __call__(
        self, labels: LabelArray, num_clients: int, rng: Rng, /, **options: Any
    ) -> list[IndexArray]: ...


@dataclass(frozen=True)
class SplitView:
    """What a split may see of the N training images that it divides: all but those that are set aside before it.

    Attributes:
        labels: int64 [N].
        positions: int64 [N], ascending: where each of them is in the training set.
        total: how many images the training set has.
        info: of the data set; ``info.num_classes`` is C.
        clients: int64 [N], which of ``info.client_names`` each belongs to; None where the data set does not say it.
        groups: int64 [N], which of ``info.group_names`` each belongs to; None where the data set does not say it.
        num_test: how many images the test set has.
        test_clients: int64 [num_test], which of ``info.client_names`` each test image belongs to, or None.
        rows, test_rows: int64 [N] and [num_test], of a data set whose test part was drawn from the same source: the row
            of each image there, from 0 to total + num_test - 1; else None.
    """

    labels: LabelArray
    positions: IndexArray
    total: int
    info: DatasetInfo
    clients: IndexArray | None = None
    groups: IndexArray | None = None
    num_test: int = 0
    test_clients: IndexArray | None = None
    rows: IndexArray | None = None
    test_rows: IndexArray | None = None

    @staticmethod
    def of(dataset: Dataset) -> SplitView:
        """The view of a whole training set; its arrays share no memory with it."""
        import numpy as np

        def plain(numbers: Any) -> IndexArray | None:
            return None if numbers is None else numbers.cpu().numpy().copy()

        labels: LabelArray = dataset.y_train.cpu().numpy().copy()
        return SplitView(
            labels,
            np.arange(len(labels), dtype=np.int64),
            len(labels),
            dataset.info,
            plain(dataset.clients_train),
            plain(dataset.groups_train),
            len(dataset.y_test),
            plain(dataset.clients_test),
            plain(dataset.rows_train),
            plain(dataset.rows_test),
        )

    def only(self, places: IndexArray) -> SplitView:
        """The view of some of these images, int64 [n], by their places in ``labels``."""
        return replace(
            self,
            labels=self.labels[places],
            positions=self.positions[places],
            clients=None if self.clients is None else self.clients[places],
            groups=None if self.groups is None else self.groups[places],
            rows=None if self.rows is None else self.rows[places],
        )


@dataclass(frozen=True)
class Division:
    """What a split gives out, where that is more than training images.

    Attributes:
        parts: of each client, int64: places in ``SplitView.labels``.
        tests: of each client, int64: positions in the test set of its own test images, on which it is then measured;
            no image is two clients'. None: no client has any.
        names: of the clients, where they have some.
    """

    parts: Sequence[IndexArray]
    tests: Sequence[IndexArray] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ViewedSplit:
    """A split that sees more than labels.

    divide: (view, num_clients, rng) -> the places of each client's images in ``view.labels``, as of a ``Partitioner``,
    or a ``Division``.
    """

    divide: Callable[[SplitView, int, Rng], Sequence[IndexArray] | Division]
