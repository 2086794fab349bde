"""Which runs of a study are meant: ``--only AXIS=LABEL``."""

from __future__ import annotations

from collections.abc import Sequence

from fedskew.errors import ConfigError, nearest
from fedskew.study.grid import PlannedRun


def select(planned: Sequence[PlannedRun], only: Sequence[str]) -> list[PlannedRun]:
    """The runs whose cell fits every ``AXIS=LABEL``; several labels of one axis are alternatives.

    Raises:
        ConfigError: an axis or a label that the study does not have.
    """
    wanted: dict[str, set[str]] = {}
    labels: dict[str, dict[str, None]] = {}
    for plan in planned:
        for axis, label in {**plan.cell, "seed": plan.seed}.items():
            labels.setdefault(axis, {})[str(label)] = None
    for item in only:
        axis, equals, label = (part.strip() for part in item.partition("="))
        if not equals or axis not in labels:
            raise ConfigError(f"--only {item!r}: give AXIS=LABEL; axes: {', '.join(labels)}")
        label = next((known for known in labels[axis] if _same(known, label)), label)
        if label not in labels[axis]:
            close = nearest(label, labels[axis])
            raise ConfigError(
                f"--only {item!r}: {axis} has {', '.join(labels[axis])}", close and f"did you mean {close!r}?"
            )
        wanted.setdefault(axis, set()).add(label)
    return [
        plan
        for plan in planned
        if all(str({**plan.cell, "seed": plan.seed}[axis]) in choice for axis, choice in wanted.items())
    ]


def _same(known: str, given: str) -> bool:
    """Whether a label is meant: 1 means 1.0."""
    try:
        return known == given or float(known) == float(given)
    except ValueError:
        return False
