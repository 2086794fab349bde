"""Neurotoxin: adversaries that leave alone the weights that honest training moves most, so that it undoes less."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.wrapping import changed, inner_attack, training
from fedskew.config import Component
from fedskew.protocols import Attack, DatasetInfo, LocalObjective, LocalResult, LocalView, State
from fedskew.rounding import whole


def neurotoxin(
    info: DatasetInfo, *, of: Component, share: Annotated[float, Field(ge=0, lt=1)] = 0.05
) -> Attack:
    """The adversaries of ``of`` do not train the share of weights with the largest |w_t - w_s|.

    Formula: w_j <- start_j after every step, for the share * P entries j with the largest |w_t - w_s|_j;
    s = the last round in which they acted

    w_s are the weights that this adversary started from in the last round in which it acted: w_{t-1} where it acts in
    every round. The coordinates with at least the k-th largest change, k = share * P rounded down, are put back to the
    start after every step: the same as the paper's projected gradient, and it holds with momentum and weight
    decay too, so that the update is exactly 0 there. Coordinates that did not change are always trained; in the first
    round that is every one. Around an attack whose adversaries send nothing of their own training (``ipm``, ``mimic``
    and the like) it is refused when the config is read.

    Args:
        of: the attack whose adversaries train so.
        share: of the weights, rounded down; 0 is ``of`` itself.

    How long a backdoor lasts is measured as ``lifespan``. That this one outlives the plain backdoor is not seen with
    the small models here: on digits, in some 27 settings of two or three seeds, it lasted as long or shorter, and with
    LeNet on Fashion-MNIST (one seed) 4 rounds with a share of 1 % instead of 9. Where adversaries act in every round,
    their own last update is in the mask too, which may be why.

    Reference: Zhang et al., "Neurotoxin: Durable Backdoors in Federated Learning", ICML 2022, Algorithm 1. (The
    authors' program takes the mask from gradients on honest clients' data instead, which an adversary does not have.)

    Half of four weights that have changed by 3, 0, -2 and 1:

    >>> most_moved(torch.tensor([3.0, 0.0, -2.0, 1.0]), 2)
    tensor([ True, False,  True, False])
    """
    if share == 0:
        return inner_attack(of, info)
    return changed(inner_attack(of, info), lambda attack: training(attack, sparing(share)))


def most_moved(change: Tensor, count: int) -> Tensor:
    """Where |change| is among its ``count`` largest, ties included, and not 0; bool [..., P].

    Args:
        change: float32 [..., P].
    """
    size = change.abs()
    if not count:
        return torch.zeros_like(size, dtype=torch.bool)
    return (size >= _largest(size, count)) & (size > 0)


def _largest(values: Tensor, count: int) -> Tensor:
    """The ``count``-th largest value over the last axis, [..., P] -> [..., 1]."""
    if values.device.type != "cpu":
        return values.topk(count, dim=-1).values[..., -1:]
    # The same number: NumPy finds it in a fiftieth of the time, which matters in every step.
    return torch.from_numpy(np.partition(values.numpy(), -count, axis=-1)[..., [-count]])


def sparing(share: float) -> LocalObjective:
    """Leaves the weights that the global model moves most where they start.

    A client keeps ``before`` and ``now``, [P], the start weights of its last round and of this one, and ``known``, 1
    where there was a last round. The mask is made anew in each step, since a step may be recorded once for all rounds
    (CUDA graphs): it must do the same work in each.
    """

    def init(parameters: int) -> State:
        return {
            "before": torch.zeros(parameters),
            "now": torch.zeros(parameters),
            "known": torch.zeros(1),
        }

    def project(weights: Tensor, view: LocalView) -> None:
        kept = view.kept
        kept["now"].copy_(view.start.expand_as(kept["now"]))
        held = most_moved((view.start - kept["before"]) * kept["known"], whole(share * weights.shape[-1]))
        torch.where(held, view.start, weights, out=weights)

    def finish(result: LocalResult) -> tuple[State, State]:
        now = result.kept["now"]
        return {"before": now, "now": now.clone(), "known": torch.ones_like(result.kept["known"])}, {}

    return LocalObjective(project=project, init=init, finish=finish)
