"""Clients as the data set has them: its writers, sites or hospitals."""

from __future__ import annotations

from fedskew.errors import PartitionError
from fedskew.partition.own import parts_of, taking_part
from fedskew.protocols import Division, Rng, SplitView, ViewedSplit


def natural(*, test: bool = True) -> ViewedSplit:
    """Each client holds the images of one of the clients that the data set names.

    Formula: client k holds {i: the data set says that image i is from its k-th client}

    With fewer clients than the data set has, those that take part are a uniform sample of them, in their order, and
    the images of the others are used by nobody.

    Args:
        test: whether clients are measured on test images of their own, where the data set says whose they are. Then
            ``clients.held_out`` must be 0.

    Raises:
        PartitionError: the data set does not say from whom its images are, or has fewer clients.

    Reference: Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv 1812.01097, 2018 (natural partitions).

    >>> import numpy as np
    >>> from fedskew.protocols import DatasetInfo
    >>> info = DatasetInfo("example", ("a",), (1, 1, 1), (0.0,), (1.0,), client_names=("Ann", "Bob", "Cleo"))
    >>> view = SplitView(np.zeros(5, int), np.arange(5), 5, info, clients=np.array([2, 0, 2, 1, 0]))
    >>> division = natural().divide(view, 3, np.random.default_rng(0))
    >>> [(name, part.tolist()) for name, part in zip(division.names, division.parts)]
    [('Ann', [1, 4]), ('Bob', [3]), ('Cleo', [0, 2])]
    """

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        info = view.info
        if view.clients is None:
            raise PartitionError(
                f"split 'natural': data set {info.name!r} does not say from which client its training samples are",
                "take a data set with clients_train, or say it in a file: split.name = 'file'",
            )
        names = info.client_names
        clients = taking_part(len(names), num_clients, rng, f"split 'natural': data set {info.name!r}")
        tests = parts_of(view.test_clients, clients) if test and view.test_clients is not None else None
        return Division(parts_of(view.clients, clients), tests, tuple(names[k] for k in clients))

    return ViewedSplit(divide)
