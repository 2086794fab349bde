"""How an audit spreads the data: by Dirichlet from even to uneven, or by your own split beside an even one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedskew.audit.notation import parse_chain
from fedskew.errors import ConfigError
from fedskew.partition.client_file import clients_in

MIN_SIZE = 5
"""The least number of images of a client: a split that leaves a client fewer is drawn again, so that every rule has its
updates."""
CLIENTS = (".csv", ".npy", ".npz")
"""The ends of the names of files that say who holds what."""
EVEN, GIVEN = "even", "as given"
"""The spreads of an audit with your own split."""
USUAL = 10
"""Clients of an audit, where nothing else says how many."""


def clients_of(text: str, clients: int, adversaries: int) -> tuple[int, dict[str, Any]]:
    """How many clients an audit has, and how much data each adversary: as much as a client on average.

    Args:
        text: the split; of a csv file of clients these are counted, and the adversaries are there in addition.
        clients: as asked for; 0 for as many as it is without being asked.

    Returns:
        The number, and the field of ``adversaries`` with the size of their sample.

    Raises:
        PartitionError: the file cannot be read.
    """
    if Path(text).suffix.lower() != ".csv":
        clients = clients or USUAL
        return clients, {"fraction": round(1 / clients, 4)}
    there, samples = clients_in(Path(text))
    return clients or there + adversaries, {"size": max(1, round(samples))}


def split_of(text: str) -> dict[str, Any]:
    """The split that a text names: a file of clients, or a component in the notation; for no text Dirichlet's.

    Raises:
        ConfigError: it names several.
    """
    if not text:
        return {"name": "dirichlet", "alpha": 1.0, "min_size": MIN_SIZE}
    if Path(text).suffix.lower() in CLIENTS:
        return {"name": "file", "path": text}
    split, *more = parse_chain(text)
    if more:
        raise ConfigError(
            f"--split {text!r}: a split is one component", "or the path of a file that says who holds what"
        )
    return split


def spread_of(text: str, alphas: Sequence[float], usual: Sequence[float]) -> dict[str, Any]:
    """The axis of how the data is spread, from even to uneven.

    Args:
        text: your own split; empty for none.
        alphas: as asked for, else the ``usual`` ones.

    Raises:
        ConfigError: both are asked for.
    """
    if not text:
        return {"alpha": {"field": "split.alpha", "values": list(alphas or usual)}}
    if alphas:
        raise ConfigError("--split and --alphas both say how the data is spread", "leave one of them out")
    split = split_of(text)
    even = {"name": "shuffled", "of": split}
    return {"spread": {"variants": {EVEN: {"split": even}, GIVEN: {"split": split}}}}
