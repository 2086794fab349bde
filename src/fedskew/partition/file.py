"""Clients as a file says them: to whom each sample belongs, or how many of each class each client has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedskew.errors import PartitionError
from fedskew.partition.client_array import has_test
from fedskew.partition.client_file import Table, read_clients, read_owners
from fedskew.partition.client_owners import Owners
from fedskew.partition.own import parts_of, taking_part
from fedskew.protocols import Division, IndexArray, Rng, SplitView, ViewedSplit


def from_file(*, path: Path, test: Path | bool = True, scale: bool = False) -> ViewedSplit:
    """A client for each sample, or a table of how many samples of each class each client has.

    Formula: client k holds {i: the file gives sample i to it}; or
    client k holds m_kc samples of class c, drawn uniformly without replacement;
    scale: floor(a m_kc) with the largest a for which there are enough samples of every class

    The file is a csv file with the header ``client`` (a line for each training sample in order) or ``sample,client``
    (positions in the training set from 0); an ``.npy`` file of whole numbers; or an ``.npz`` file with
    ``clients_train`` and perhaps ``clients_test``. No client, or -1, means that nobody uses the sample. Or it is a csv
    table: in its first column clients, then one column for each class, by its name or number. With fewer clients than
    the file has, those that take part are a uniform sample of them, in their order.

    Where the test part was drawn from the training part's own source (``test_fraction``), the file may instead have a
    client for each row of this source: ``client`` with as many lines, ``row,client`` (rows from 0), or an array as
    long. A row that became a test sample is then its client's own, as with split ``natural``.

    Args:
        path: the file, from the current folder.
        test: another such file, of test samples, on which clients are then measured; ``clients.held_out`` must then be
            0. False: not even those that the first file has itself.
        scale: for a table. Its numbers may then be any, for example percent.

    Raises:
        PartitionError: the file cannot be read, does not fit the data set, or has fewer clients; or a table asks for
            more samples than there are, or without ``scale`` for a part of one.
    """

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        file = path.expanduser()
        rows = None if view.rows is None else view.total + view.num_test
        known = read_clients(file, view.total, rows, view.info)
        clients = taking_part(len(known.names), num_clients, rng, f"split 'file': {file}")
        if scale and isinstance(known, Owners):
            raise PartitionError(f"split 'file': scale is for a table of counts, and {file} names samples")
        if isinstance(known, Owners):
            of_rows = known.of_rows and view.rows is not None
            parts = parts_of(known.owners[view.rows if of_rows else view.positions], clients)
        else:
            parts = _drawn(known, clients, view, rng, file, scale)
        whose = _whose_tests(file, known, view)
        tests = None if whose is None else parts_of(whose, clients)
        return Division(parts, tests, tuple(known.names[k] for k in clients))

    def _whose_tests(file: Path, known: Owners | Table, view: SplitView) -> IndexArray | None:
        if test is False:
            return None
        if isinstance(test, Path) or has_test(file):
            other = test.expanduser() if isinstance(test, Path) else file
            return read_owners(other, view.num_test).among(known.names, other)
        if isinstance(known, Owners) and known.of_rows and view.test_rows is not None:
            owners = known.owners[view.test_rows]
            return owners if (owners >= 0).any() else None
        return None

    return ViewedSplit(divide)


def _drawn(
    table: Table, clients: IndexArray, view: SplitView, rng: Rng, file: Path, scale: bool
) -> list[IndexArray]:
    """The samples of each client of a table, drawn class by class."""
    wanted = table.counts[clients]
    there = np.bincount(view.labels, minlength=view.info.num_classes)
    asked = wanted.sum(axis=0)
    if scale:
        if not asked.any():
            raise PartitionError(f"split 'file': {file} gives no sample to any client")
        wanted = np.floor(wanted * (there[asked > 0] / asked[asked > 0]).min() + 1e-9)
    elif (wanted != np.floor(wanted)).any():
        raise PartitionError(
            f"split 'file': {file} has numbers of samples that are not whole", "set split.scale = true"
        )
    elif (asked > there).any():
        label = int(np.argmax(asked > there))
        gone = ", without those of the validation split and of adversaries" * (len(view.labels) < view.total)
        raise PartitionError(
            f"split 'file': {file} asks for {asked[label]:g} samples of class {view.info.class_names[label]!r}, and "
            f"there are {there[label]} to be divided{gone}",
            "set split.scale = true, which keeps the proportions",
        )
    pieces: list[list[IndexArray]] = [[] for _ in clients]
    for label in range(view.info.num_classes):
        members = rng.permutation(np.flatnonzero(view.labels == label))
        ends = np.cumsum(wanted[:, label].astype(np.int64))
        for mine, piece in zip(pieces, np.split(members, ends)[:-1], strict=True):
            mine.append(piece)
    return [np.sort(np.concatenate(mine)) for mine in pieces]
