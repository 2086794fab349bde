"""No personal models: every client uses the global one."""

from __future__ import annotations

from fedskew.protocols import PersonalModel


def none() -> PersonalModel:
    """Nobody trains anything for themselves.

    Formula: v_k = w_(t+1)
    """
    return PersonalModel(epochs=0)
