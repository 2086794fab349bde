"""What an attack goes by: the updates that its threat model lets it see."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor

from fedskew.protocols import AdversaryView

Seen: TypeAlias = Literal["all-updates", "own-updates"]
"""Threat models of attacks that can go by either: the honest clients' updates, or those of the adversaries' own
training."""


def reference(deltas: Tensor, view: AdversaryView) -> Tensor:
    """The honest updates of the round where the adversaries see some, else those of their own training, [R, P]."""
    return deltas if view.others is None or not len(view.others) else view.others


def by_all(row: Tensor, deltas: Tensor) -> Tensor:
    """One row [P], sent by every adversary, [A, P]."""
    return row.expand_as(deltas).clone()
