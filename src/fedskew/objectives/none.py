"""The null objective: a client minimises its loss and nothing else."""

from __future__ import annotations

from fedskew.protocols import LocalObjective


def none() -> LocalObjective:
    """The gradient as it is, no projection, nothing kept and nothing sent.

    Formula: minimise loss(w)
    """
    return LocalObjective()
