"""Who held what in each run and how its clients fared, as a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from fedskew.frames.runs import labels
from fedskew.partition.heterogeneity import Counts
from fedskew.protocols import RoundRecord
from fedskew.runs.clients import ClientsSummary
from fedskew.study.grid import PlannedRun

Floats: TypeAlias = npt.NDArray[np.float64]
Held: TypeAlias = tuple[PlannedRun, ClientsSummary, Sequence[RoundRecord]]
"""A run, who holds what in it, and its records."""

_COLUMNS: dict[str, Callable[[RoundRecord], dict[int, float]]] = {
    "weight": lambda record: record.client_weights,
    "held_out_accuracy": lambda record: record.per_client_accuracy,
    "personal_accuracy": lambda record: record.per_client_personal,
}
"""What the last round's record has of each client."""


def clients_frame(runs: Iterable[Held]) -> pd.DataFrame:
    """One row per client of each run that was begun.

    Columns: axes, ``seed``, ``run``, ``client``, ``name`` where clients have names, ``malicious``, ``images`` (those it
    trains on, poisoned ones included), ``count_CLASS`` (true labels before anything was poisoned), ``rounds`` (in which
    it took part), ``rejected`` (rounds in which its update was not finite), and of the last round: ``weight`` in the
    aggregate where the rule says it; ``accuracy``, what the client sees of the global model: its class accuracies on
    the test images, mixed as the client's own labels are; ``held_out_accuracy`` and ``personal_accuracy``, those of the
    global model and of its personal one on its own held-out data, where it has some and is honest. Counts and
    accuracies are missing for more than 1,000 clients.
    """
    parts = [_of_run(labels(plan), who, records) for plan, who, records in runs]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["client", "malicious"])


def _of_run(head: dict[str, Any], who: ClientsSummary, records: Sequence[RoundRecord]) -> pd.DataFrame:
    everybody = range(who.clients)
    frame = pd.DataFrame([head]).iloc[np.zeros(who.clients, dtype=int)].reset_index(drop=True)
    frame["client"] = everybody
    if who.names:
        frame["name"] = who.names
    frame["malicious"] = np.isin(everybody, who.malicious)
    if who.label_counts is not None:
        counts = np.array(who.label_counts, dtype=np.int64).reshape(who.clients, len(who.class_names))
        frame["images"] = [who.images(client) for client in everybody]
        named = pd.DataFrame(counts, columns=[f"count_{name}" for name in who.class_names])
        frame = pd.concat([frame, named], axis=1)  # at once: many columns one by one take long
        if records:
            frame["accuracy"] = seen_by(counts, np.array(records[-1].per_class_accuracy))
    for name, lists in (("rounds", [r.cohort for r in records]), ("rejected", [r.rejected for r in records])):
        ids = np.array([client for one in lists for client in one], dtype=np.int64)
        frame[name] = np.bincount(ids, minlength=who.clients)
    for name, of in _COLUMNS.items():
        if records and (found := of(records[-1])):
            frame[name] = frame["client"].map(found)
    return frame


def seen_by(counts: Counts, per_class: Floats) -> Floats:
    """The test accuracy that each client would see, float64 [K]; NaN for one without any class that was tested.

    Args:
        counts: int64 [K, C], each client's labels.
        per_class: float64 [C], the class accuracies; NaN for a class without test images, whose share is left out.

    >>> seen_by(np.array([[3, 1], [0, 0]]), np.array([1.0, 0.0])).tolist()
    [0.75, nan]
    """
    known = np.where(np.isnan(per_class), 0, counts)
    total = known.sum(axis=1)
    seen = (known * np.nan_to_num(per_class)).sum(axis=1)
    found: Floats = np.divide(seen, total, out=np.full(len(counts), np.nan), where=total > 0)
    return found
