"""Round records to JSON and back, so that what a rule sees live is what it sees after a resume."""

from __future__ import annotations

import copy
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fedskew.errors import RunError
from fedskew.files import read_lines
from fedskew.protocols import RoundRecord


def record_to_json(record: RoundRecord) -> dict[str, Any]:
    """A record as in ``rounds.jsonl``: without the times, and null for what is not finite."""
    plain = {field.name: copy.copy(getattr(record, field.name)) for field in fields(record)}
    del plain["seconds"]
    for name in ("metrics", "trace"):
        plain[name] = {key: _finite(value) for key, value in plain[name].items()}
    plain["per_class_accuracy"] = [_finite(value) for value in plain["per_class_accuracy"]]
    if not plain["late"]:
        del plain["late"]
    groups, weights = plain.pop("per_group_accuracy"), plain.pop("client_weights")
    if groups:  # only where the data has them
        plain["per_group_accuracy"] = {group: _finite(accuracy) for group, accuracy in groups.items()}
    if weights:  # only where the rule says them
        plain["client_weights"] = {str(client): _finite(weight) for client, weight in weights.items()}
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
        groups, weights = value.get("per_group_accuracy", {}), value.get("client_weights", {})
        value["per_group_accuracy"] = {str(group): _number(inner) for group, inner in groups.items()}
        value["client_weights"] = {int(client): _number(weight) for client, weight in weights.items()}
        return RoundRecord(**value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RunError(f"not a round's record: {error}") from None


def read_records(path: Path) -> list[RoundRecord]:
    """All whole records of a file.

    Raises:
        RunError: a line is damaged.
    """
    records = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            records.append(record_from_json(line))
        except RunError as error:
            raise RunError(f"{path}, line {number} is damaged: {error.message}") from None
    return records


def as_ruled(record: RoundRecord) -> RoundRecord:
    """A copy of a record as stopping rules and schedules see it, from its file or not yet in one: without what was
    measured after them."""
    kept = as_kept(record)
    metrics = {name: value for name, value in kept.metrics.items() if name not in kept.late}
    return replace(kept, metrics=metrics, late=[])


def as_kept(record: RoundRecord) -> RoundRecord:
    """A copy of a record as it would come back from its file; changing the one does not change the other."""
    return record_from_json(record_to_json(record))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
