"""Layers that honest clients keep for themselves (``PersonalModel.own``): what they start from, what they keep."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedskew.errors import ConfigError
from fedskew.federation.client_state import ClientStates
from fedskew.protocols import PersonalModel, State
from fedskew.training.engine import CohortResult
from fedskew.training.plan import ClientWork
from fedskew.training.recipe import PERSONAL

OWN, BUFFERS = PERSONAL + "own", PERSONAL + "buffers"
"""The names of a client's own weights and buffers among what it keeps."""


def own_mask(personal: PersonalModel, name: str, module: nn.Module, model: str) -> Tensor | None:
    """bool [P], the weights that clients keep for themselves; None if they share all.

    Args:
        name, model: of the component and of the model, for errors.

    Raises:
        ConfigError: the model has no such weights, or what says which they are returned something else.
    """
    if personal.own is None:
        return None
    mask, total = personal.own(copy.deepcopy(module)), sum(p.numel() for p in module.parameters())
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (total,):
        raise ConfigError(
            f"personal {name!r}: own must return bool [{total}], one for each weight of the model"
        )
    if not mask.any():
        raise ConfigError(
            f"clients.personal = {name!r}: model {model!r} has no layers that clients would keep for themselves",
            "take a model that has them, for example small-cnn with norm = 'batch'",
            "clients.personal",
        )
    return mask


def with_own(
    mask: Tensor | None,
    weights: Tensor,
    clients: ClientStates,
    work: Sequence[ClientWork],
    honest: frozenset[int],
) -> list[ClientWork]:
    """The work of a round, in which honest clients start from their own layers where they have some.

    Args:
        mask: bool [P], the layers; None where there are none.
        weights: float32 [P], the global ones.
        work: with the weights that each client starts from otherwise.
    """
    if mask is None:
        return list(work)
    found = []
    for job in work:
        kept = clients.get(job.client, {}) if job.client in honest else {}
        if OWN in kept:
            start = (weights if job.start is None else job.start).clone()
            start[mask] = kept[OWN]
            job = replace(job, start=start, buffers=kept[BUFFERS])
        found.append(job)
    return found


def as_seen_by_the_server(
    mask: Tensor | None, weights: Tensor, work: Sequence[ClientWork], local: CohortResult
) -> None:
    """Makes the own layers' part of each update the difference to the global model, not to where the client started:
    so the global model has the mean of the clients' layers there, whoever took part before. In place."""
    for job, delta in zip(work, local.deltas, strict=True):
        if mask is not None and job.start is not None:
            delta[mask] += (job.start - weights)[mask]


def kept_own(
    mask: Tensor | None,
    weights: Tensor,
    work: Sequence[ClientWork],
    local: CohortResult,
    honest: frozenset[int],
) -> dict[int, State]:
    """What honest clients keep of a round: their own layers after it; nothing where these are not finite."""
    found: dict[int, State] = {}
    if mask is None:
        return found
    for job, delta, buffers in zip(work, local.deltas, local.buffers, strict=True):
        own = ((weights if job.start is None else job.start) + delta)[mask]
        if job.client in honest and own.isfinite().all() and buffers.isfinite().all():
            found[job.client] = {OWN: own, BUFFERS: buffers.clone()}
    return found


def model_of(mask: Tensor, weights: Tensor, kept: Mapping[str, Tensor]) -> State:
    """The weights and buffers of a client with its own layers in the global model."""
    own = weights.clone()
    own[mask] = kept[OWN]
    return {"weights": own, "buffers": kept[BUFFERS]}
