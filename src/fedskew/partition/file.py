"""Clients as a file says them: to whom each image belongs, or how many of each class each client has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedskew.errors import PartitionError
from fedskew.partition.client_file import Owners, Table, has_test, read_clients, read_owners
from fedskew.partition.own import parts_of, taking_part
from fedskew.protocols import Division, IndexArray, Rng, SplitView, ViewedSplit


def from_file(*, path: Path, test: Path | bool = True, scale: bool = False) -> ViewedSplit:
    """A client for each image, or a table of how many images of each class each client has.

    Formula: client k holds {i: the file gives image i to it}; or
    client k holds m_kc images of class c, drawn uniformly without replacement;
    scale: floor(a m_kc) with the largest a for which there are enough images of every class

    The file is a csv file with the header ``client`` (a line for each training image in order) or ``sample,client``
    (positions in the training set from 0); an ``.npy`` file of whole numbers; or an ``.npz`` file with
    ``clients_train`` and perhaps ``clients_test``. No client, or -1, means that nobody uses the image. Or it is a csv
    table: in its first column clients, then one column for each class, by its name or number. With fewer clients than
    the file has, those that take part are a uniform sample of them, in their order.

    Args:
        path: the file, from the current folder.
        test: another such file, of test images, on which clients are then measured; ``clients.held_out`` must then be
            0. False: not even those that an ``.npz`` file has itself.
        scale: for a table. Its numbers may then be any, for example percent.

    Raises:
        PartitionError: the file cannot be read, does not fit the data set, or has fewer clients; or a table asks for
            more images than there are, or without ``scale`` for a part of one.
    """

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        file = path.expanduser()
        known = read_clients(file, view.total, view.info)
        clients = taking_part(len(known.names), num_clients, rng, f"split 'file': {file}")
        if scale and isinstance(known, Owners):
            raise PartitionError(f"split 'file': scale is for a table of counts, and {file} names images")
        if isinstance(known, Owners):
            parts = parts_of(known.owners[view.positions], clients)
        else:
            parts = _drawn(known, clients, view, rng, file, scale)
        return Division(
            parts, _tests(file, known.names, clients, view), tuple(known.names[k] for k in clients)
        )

    def _tests(
        file: Path, names: tuple[str, ...], clients: IndexArray, view: SplitView
    ) -> list[IndexArray] | None:
        other = test.expanduser() if isinstance(test, Path) else file
        if test is False or (test is True and not has_test(file)):
            return None
        return parts_of(read_owners(other, view.num_test).among(names, other), clients)

    return ViewedSplit(divide)


def _drawn(
    table: Table, clients: IndexArray, view: SplitView, rng: Rng, file: Path, scale: bool
) -> list[IndexArray]:
    """The images of each client of a table, drawn class by class."""
    wanted = table.counts[clients]
    there = np.bincount(view.labels, minlength=view.info.num_classes)
    asked = wanted.sum(axis=0)
    if scale:
        if not asked.any():
            raise PartitionError(f"split 'file': {file} gives no image to any client")
        wanted = np.floor(wanted * (there[asked > 0] / asked[asked > 0]).min() + 1e-9)
    elif (wanted != np.floor(wanted)).any():
        raise PartitionError(
            f"split 'file': {file} has numbers of images that are not whole", "set split.scale = true"
        )
    elif (asked > there).any():
        label = int(np.argmax(asked > there))
        raise PartitionError(
            f"split 'file': {file} asks for {asked[label]:g} images of class {view.info.class_names[label]!r}, and "
            f"there are {there[label]} to be divided",
            "set split.scale = true, which keeps the proportions",
        )
    pieces: list[list[IndexArray]] = [[] for _ in clients]
    for label in range(view.info.num_classes):
        members = rng.permutation(np.flatnonzero(view.labels == label))
        ends = np.cumsum(wanted[:, label].astype(np.int64))
        for mine, piece in zip(pieces, np.split(members, ends)[:-1], strict=True):
            mine.append(piece)
    return [np.sort(np.concatenate(mine)) for mine in pieces]
