"""Mimic: all adversaries repeat one honest client, who thereby counts too much (ICLR 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.reference import by_all
from fedskew.errors import ConfigError
from fedskew.portable import norm, total, weighted_sum
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo, Rng, State


def mimic(info: DatasetInfo, *, warmup: Annotated[int, Field(ge=1)] = 1) -> Attack:
    """Every adversary sends the update of the same honest client, as it is.

    Formula: delta <- delta_{i*};
    i* = argmax_i <z, delta_i>, with z the main direction in which the honest updates differ

    No rule can tell it from an honest one. It harms by heterogeneity: the client that is repeated is the one that
    lies furthest along the main direction in which the honest updates differ. In round t = 0, 1, ... of the warm-up,
    with the honest updates delta_i and their mean,

        mu <- (t mu + mean) / (t + 1)
        z  <- (t z + v / ||v||) / (t + 1), scaled to length 1;  v = sum_i <delta_i - mu, z> (delta_i - mu)
        i* = argmax_i <z, delta_i>

    (one step of a power iteration in each round). z starts as N(0, 1) in every entry. After the warm-up z and the
    client i* are fixed. In a round whose cohort lacks this client, they repeat the one with the largest <z, delta_i>
    of those that are there. Where v is 0, because the updates are equal, z stays as it was. A round without honest
    clients does not count, and they send their own updates in it. The threat model is "all-updates".

    Args:
        warmup: the rounds in which adversaries act until i* is fixed; 1 in the authors' code.

    Reference: Karimireddy, He & Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022,
    section 3.

    The updates differ along the second axis, in whichever direction: one of the two outer ones is repeated.

    >>> from fedskew import craft
    >>> craft("mimic", [[1.0, -3.0], [1.0, 0.0], [1.0, 3.0]])[0].abs()
    tensor([1., 3.])
    """

    def repeat(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor | Crafted:
        honest, ids, state = view.others, view.other_ids, view.state or {}
        if honest is None or ids is None:
            raise ConfigError(
                "attack 'mimic' needs the honest updates and whose they are",
                "its threat model is 'all-updates'",
            )
        if not len(honest):
            return deltas
        if int(state.get("rounds", torch.tensor(0))) < warmup:
            state = _learnt(state, honest, ids, rng)
        there = (ids == state["target"].cpu()).nonzero().flatten().tolist()
        row = there[0] if there else _furthest(honest, state["direction"].to(honest.device))
        return Crafted(by_all(honest[row], deltas), state)

    return Attack(craft=repeat, threat_model="all-updates")


def _learnt(state: State, honest: Tensor, ids: Tensor, rng: Rng) -> State:
    """The state after one more round of the warm-up."""
    parameters = honest.shape[1]
    mean = weighted_sum(torch.ones(len(honest)), honest) / len(honest)
    before = state or {
        "rounds": torch.tensor(0),
        "mean": torch.zeros_like(mean),
        "direction": torch.from_numpy(rng.standard_normal(parameters)),
    }
    t = int(before["rounds"])
    mean = (t * before["mean"].to(mean.device) + mean) / (t + 1)
    direction = before["direction"].to(mean.device)
    step = torch.zeros_like(mean)
    for row in honest:
        away = row - mean
        step += total(away * direction) * away
    direction = _scaled(t * direction + _scaled(step)) if norm(step) > 0 else _scaled(direction)
    return {
        "rounds": torch.tensor(t + 1),
        "mean": mean,
        "direction": direction,
        "target": ids[_furthest(honest, direction)].clone(),
    }


def _scaled(vector: Tensor) -> Tensor:
    """The vector with the length 1."""
    return vector / norm(vector)


def _furthest(honest: Tensor, direction: Tensor) -> int:
    """The row with the largest <z, row>; the first of several."""
    along = [float(total(row.double() * direction)) for row in honest]
    return along.index(max(along))
