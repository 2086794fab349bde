"""Checks of what splits give out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedskew.components.returned.tensors import described
from fedskew.components.row import Facts
from fedskew.errors import ConfigError
from fedskew.protocols import Division, IndexArray, SplitView


def checked_division(name: str, found: object, view: SplitView, clients: int, facts: Facts) -> Division:
    """What a split returned: training images for each client and perhaps test images of its own, and names.

    Args:
        name: of the split.
        view: what it was given.
        facts: which of ``leaves_out`` and ``shares`` it states.

    Raises:
        ConfigError: it is something else.
    """
    given = found if isinstance(found, Division) else Division(found)  # type: ignore[arg-type]
    parts = checked_split(
        name, given.parts, len(view.labels), clients, shares=facts.shares, leaves_out=facts.leaves_out
    )
    tests = None
    if given.tests is not None:
        tests = _arrays(name, given.tests, clients, "parts of the test set")
        if not _divides(tests, view.num_test, shares=False, leaves_out=True):
            raise ConfigError(
                f"split {name!r} did not divide the {view.num_test} test samples: every position must be given to at "
                "most one client"
            )
    names = given.names
    if not isinstance(names, tuple) or not all(isinstance(one, str) for one in names):
        raise ConfigError(
            f"split {name!r}: names of its Division is {described(names)}; expected a tuple of strings"
        )
    if names and len(names) != clients:
        raise ConfigError(f"split {name!r} returned {len(names)} names for {clients} clients")
    return Division(parts, tests, names)


def checked_split(
    name: str, parts: object, total: int, clients: int, *, shares: bool = False, leaves_out: bool = False
) -> list[IndexArray]:
    """One array of positions per client; disjoint and together all of them.

    Args:
        shares: whether the split may also give a position to every client, or to none (``Facts.shares``).
        leaves_out: whether it may also give a position to none (``Facts.leaves_out``).

    Raises:
        ConfigError: they are not.
    """
    arrays = _arrays(name, parts, clients, "parts")
    if not _divides(arrays, total, shares=shares, leaves_out=leaves_out):
        whom = "at most one client" if leaves_out and not shares else "exactly one client"
        whom += ", to every client or to none" if shares else ""
        raise ConfigError(
            f"split {name!r} did not divide the {total} samples: every position must be given to {whom}"
        )
    return arrays


def _arrays(name: str, parts: object, clients: int, what: str) -> list[IndexArray]:
    """One array of positions per client."""
    if isinstance(parts, str) or not isinstance(parts, Sequence | np.ndarray):
        raise ConfigError(f"split {name!r} returned {described(parts)}; expected one array per client")
    if len(parts) != clients:
        raise ConfigError(f"split {name!r} returned {len(parts)} {what} for {clients} clients")
    return [_positions(name, part) for part in parts]


def _divides(parts: Sequence[IndexArray], total: int, *, shares: bool, leaves_out: bool) -> bool:
    """Whether these are positions 0 .. total - 1, each with as many holders as it may have."""
    positions = np.concatenate(parts)
    if positions.size and not 0 <= positions.min() <= positions.max() < total:
        return False
    holders = np.bincount(positions, minlength=total)
    if not shares:
        return bool((holders <= 1).all() if leaves_out else (holders == 1).all())
    distinct = sum(
        len(np.unique(part)) for part in parts
    )  # or one client might hold a position several times
    return distinct == len(positions) and bool(np.isin(holders, (0, 1, len(parts))).all())


def _positions(name: str, part: Any) -> IndexArray:
    try:
        found = np.asarray(part).reshape(-1)
    except (TypeError, ValueError):
        found = np.empty(1, dtype=np.object_)
    whole = found.dtype.kind == "f" and (found == np.floor(found)).all()  # as NumPy makes of an empty list
    if found.dtype.kind not in "iu" and not whole:
        what = f"an array of {found.dtype}" if isinstance(part, np.ndarray) else described(part)
        raise ConfigError(
            f"split {name!r} returned {what} for a client; expected positions, an array of whole numbers"
        )
    return found.astype(np.int64, copy=False)
