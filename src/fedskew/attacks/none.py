"""The null attack: adversaries that behave like everybody else. A run with it is the benign run."""

from __future__ import annotations

from fedskew.protocols import Attack, DatasetInfo


def none(info: DatasetInfo) -> Attack:
    """Neither data nor updates are touched."""
    return Attack()
