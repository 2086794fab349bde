"""Train-and-scale: updates scaled to a norm, such as the one that a defence allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.needs import of_norm
from fedskew.attacks.wrapping import MoreKnown, changed, inner_attack, sending
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.portable import norm as length_of
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo


def train_and_scale(
    info: DatasetInfo,
    *,
    of: Component,
    norm: Annotated[float, Field(gt=0)] | Literal["median"],
    threat_model: MoreKnown = None,
) -> Attack:
    """Each adversary of ``of`` sends its update, scaled to a norm.

    Formula: delta <- delta * norm / ||delta||_2

    Longer updates become shorter and shorter ones longer. An update of 0 stays 0. With "median", rows stay as they are
    in a round without honest updates.

    Args:
        of: the attack whose updates are scaled.
        norm: > 0, in the unit of the weights; "median" for the median norm of the round's honest updates (of an even
            number of them the mean of the middle two), which the adversaries must see.
        threat_model: what they know, where it is more than ``of`` needs.

    Raises:
        ConfigError: "median", and the threat model does not see the honest updates.

    Reference: Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020 (train-and-scale).

    The honest norms are 1, 2 and 5, their median is 2, and (3, 4) has the norm 5:

    >>> from fedskew import craft
    >>> honest = [[1.0, 0.0], [0.0, 2.0], [5.0, 0.0]]
    >>> craft("train-and-scale", honest, own=[[3.0, 4.0]], of="none", norm="median", threat_model="all-updates")
    tensor([[1.2000, 1.6000]])
    """
    inner = inner_attack(of, info, threat_model)
    if why := of_norm(norm, inner.threat.sees == "all-updates"):
        raise ConfigError(f"attack 'train-and-scale' {why}")

    def scale(sent: Crafted, view: AdversaryView) -> Crafted:
        wanted = _median(view) if norm == "median" else norm
        return replace(sent, deltas=with_norm(sent.deltas, wanted))

    return changed(inner, lambda attack: sending(attack, scale))


def with_norm(rows: Tensor, wanted: float | None) -> Tensor:
    """Rows [A, P] with this L2 norm, except those of norm 0; as they are for None."""
    if wanted is None:
        return rows
    lengths = length_of(rows.double())
    factors = torch.where(lengths > 0, wanted / lengths, 1.0)
    return (rows.double() * factors[:, None]).to(rows.dtype)


def _median(view: AdversaryView) -> float | None:
    if view.others is None:
        raise ConfigError("attack 'train-and-scale' needs the honest updates for their median norm")
    lengths = length_of(view.others.double())
    return float(np.median(lengths.cpu().numpy())) if len(lengths) else None
