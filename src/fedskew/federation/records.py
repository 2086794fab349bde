"""Round records to JSON and back, so that what a rule sees live is what it sees after a resume."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fedskew.errors import RunError
from fedskew.protocols import RoundRecord

OF_CLIENTS = ("client_weights", "per_client_accuracy", "per_client_personal")
"""The fields of a record that have a number for each client, by id."""


def record_to_json(record: RoundRecord) -> dict[str, Any]:
    """A record as in ``rounds.jsonl``: without the times, and null for what is not finite."""
    plain = {field.name: copy.copy(getattr(record, field.name)) for field in fields(record)}
    del plain["seconds"]
    for name in ("metrics", "trace"):
        plain[name] = {key: _finite(value) for key, value in plain[name].items()}
    plain["per_class_accuracy"] = [_finite(value) for value in plain["per_class_accuracy"]]
    if not plain["late"]:
        del plain["late"]
    for name in ("per_group_accuracy", *OF_CLIENTS):
        if found := plain.pop(name):  # only where there are such numbers
            plain[name] = {str(key): _finite(value) for key, value in found.items()}
    return plain


def record_from_json(value: Any) -> RoundRecord:
    """The record of a line of ``rounds.jsonl``; null is NaN.

    Raises:
        RunError: it is not a record.
    """
    try:
        value = dict(value)
        for name in ("metrics", "trace"):
            value[name] = {key: _number(inner) for key, inner in value[name].items()}
        value["per_class_accuracy"] = [_number(inner) for inner in value["per_class_accuracy"]]
        groups = value.get("per_group_accuracy", {})
        value["per_group_accuracy"] = {str(group): _number(inner) for group, inner in groups.items()}
        for name in OF_CLIENTS:
            value[name] = {int(client): _number(inner) for client, inner in value.get(name, {}).items()}
        return RoundRecord(**value)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise RunError(f"not a round's record: {error}") from None


def records_of(path: Path, lines: Sequence[Any]) -> list[RoundRecord]:
    """The records of a file's lines.

    Args:
        path: of the file, for errors.

    Raises:
        RunError: a line is damaged, or not of the round that is its turn.
    """
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = record_from_json(line)
        except RunError as error:
            raise RunError(f"{path}, line {number} is damaged: {error.message}") from None
        if record.round != number:
            raise RunError(f"{path}, line {number} is of round {record.round}; expected round {number}")
        records.append(record)
    return records


def as_ruled(record: RoundRecord) -> RoundRecord:
    """A copy of a record as stopping rules and schedules see it, from its file or not yet in one: without what was
    measured after them."""
    kept = as_kept(record)
    metrics = {name: value for name, value in kept.metrics.items() if name not in kept.late}
    return replace(kept, metrics=metrics, per_client_accuracy={}, per_client_personal={}, late=[])


def as_kept(record: RoundRecord) -> RoundRecord:
    """A copy of a record as it would come back from its file; changing the one does not change the other."""
    return record_from_json(record_to_json(record))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value if math.isfinite(value) else math.nan
