"""Who held what in each run and how its clients fared, as a frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from fedskew.frames.runs import labels
from fedskew.partition.heterogeneity import Counts
from fedskew.protocols import RoundRecord
from fedskew.runs.clients import ClientsSummary
from fedskew.study.notes import RunNote

Floats: TypeAlias = npt.NDArray[np.float64]


def clients_frame(notes: Iterable[RunNote]) -> pd.DataFrame:
    """One row per client of each run that was begun.

    Columns: axes, ``seed``, ``run``, ``client``, ``malicious``, ``images`` (those it trains on, poisoned ones
    included), ``count_CLASS`` (true labels before anything was poisoned), ``rounds`` (in which it took part),
    ``rejected`` (rounds in which its update was not finite), and of the last round: ``weight`` in the aggregate where
    the rule says it, and ``accuracy``, what the client sees of the global model: its class accuracies on the test
    images, mixed as the client's own labels are. Counts and accuracy are missing for more than 1,000 clients.

    Raises:
        RunError: a record is damaged.
    """
    parts = []
    for note in notes:
        who = note.folder.read_clients()
        if who is not None:
            parts.append(_of_run(labels(note.plan), who, note.folder.read_records()))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["client", "malicious"])


def _of_run(head: dict[str, Any], who: ClientsSummary, records: list[RoundRecord]) -> pd.DataFrame:
    everybody = range(who.clients)
    frame = pd.DataFrame([head]).iloc[np.zeros(who.clients, dtype=int)].reset_index(drop=True)
    frame["client"] = everybody
    frame["malicious"] = np.isin(everybody, who.malicious)
    if who.label_counts is not None:
        counts = np.array(who.label_counts, dtype=np.int64).reshape(who.clients, len(who.class_names))
        frame["images"] = [who.images(client) for client in everybody]
        frame[[f"count_{name}" for name in who.class_names]] = counts
        if records:
            frame["accuracy"] = seen_by(counts, np.array(records[-1].per_class_accuracy))
    for name, lists in (("rounds", [r.cohort for r in records]), ("rejected", [r.rejected for r in records])):
        ids = np.array([client for one in lists for client in one], dtype=np.int64)
        frame[name] = np.bincount(ids, minlength=who.clients)
    if records and records[-1].client_weights:
        frame["weight"] = frame["client"].map(records[-1].client_weights)
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
