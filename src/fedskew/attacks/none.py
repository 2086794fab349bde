"""The null attack: adversaries that behave like honest clients. A run with it is a benign run."""

from __future__ import annotations

from fedskew.protocols import Attack, DatasetInfo


def none(info: DatasetInfo) -> Attack:
    """Neither data nor updates are touched.

    Formula: delta <- delta
    """
    return Attack()
