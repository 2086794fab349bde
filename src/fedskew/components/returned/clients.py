"""Checks of cohorts, start weights, schedules, personal models and what clients keep and send."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedskew.components.returned.record import checked_parts
from fedskew.components.returned.tensors import (
    checked_state,
    described,
    number,
    tensor_of,
    without_history,
)
from fedskew.errors import ConfigError
from fedskew.protocols import IndexArray, LocalObjective, PersonalModel, StartView, State


def checked_cohort(name: str, found: object, num_clients: int) -> IndexArray:
    """The ids of a round's cohort, int64, ascending: distinct, at least one, each in 0 .. K-1.

    Args:
        name: of the selection.

    Raises:
        ConfigError: they are something else.
    """
    try:
        ids = np.asarray(found).reshape(-1)
    except (TypeError, ValueError):
        ids = np.empty(0)
    if not len(ids) or ids.dtype.kind not in "iu":
        raise ConfigError(f"selection {name!r} returned {described(found)}; expected at least one client id")
    ids = np.sort(ids.astype(np.int64))
    if ids[0] < 0 or ids[-1] >= num_clients:
        wrong = ids[0] if ids[0] < 0 else ids[-1]
        raise ConfigError(f"selection {name!r} returned client {wrong}; expected 0 to {num_clients - 1}")
    again = ids[1:][ids[1:] == ids[:-1]]
    if len(again):
        raise ConfigError(f"selection {name!r} returned client {again[0]} more than once")
    return ids


def checked_ids(name: str, ids: object, num_clients: int) -> list[int]:
    """The ids of clients that a selection rule asks about: whole numbers in 0 .. K-1, in its order.

    Raises:
        ConfigError: they are something else.
    """
    asked = np.asarray(ids).reshape(-1)
    if len(asked) and (asked.dtype.kind not in "iu" or asked.min() < 0 or asked.max() >= num_clients):
        raise ConfigError(
            f"selection {name!r} asked for the losses of {described(ids)}; expected ids 0 to {num_clients - 1}"
        )
    found: list[int] = asked.tolist()
    return found


def checked_start(name: str, found: object, view: StartView) -> tuple[Tensor | None, State]:
    """Start weights, [P] or [S, P] or None for w_t, and the state.

    Args:
        name: of the component in ``clients.start``.

    Raises:
        ConfigError: they are something else, or not finite.
    """
    who = f"start {name!r}"
    if not isinstance(found, tuple) or len(found) != 2:
        raise ConfigError(f"{who} must return (weights, state), not {described(found)}")
    weights, state = found
    if weights is not None:
        parameters = len(view.global_weights)
        valid = ((parameters,), (len(view.client_ids), parameters))
        if not isinstance(weights, Tensor) or tuple(weights.shape) not in valid:
            raise ConfigError(
                f"{who} returned {described(weights)}; expected weights [{parameters}] or {list(valid[1])}, or None"
            )
        weights = without_history(weights).to(view.global_weights)
        if not weights.isfinite().all():
            raise ConfigError(f"{who} returned weights that are not finite")
    return weights, checked_state(who, state)


def checked_schedule(name: str, found: object) -> float:
    """By what the clients' learning rate is multiplied in a round: a finite number, at least 0.

    Args:
        name: of the component in ``training.lr_schedule``.

    Raises:
        ConfigError: it is something else.
    """
    scale = number(found)
    if scale is None or scale < 0:
        raise ConfigError(
            f"lr-schedule {name!r} returned {described(found)}; expected a finite number, at least 0"
        )
    return scale


def checked_logit_map(name: str, found: object, classes: int) -> Tensor:
    """What ``LocalObjective.logits`` returned: float32 [2, C], finite.

    Args:
        name: of the objective.

    Raises:
        ConfigError: it is something else.
    """
    who = f"objective {name!r}: logits returned the scales and offsets"
    made = tensor_of(who, found, torch.float32, (2, classes))
    if not made.isfinite().all():
        raise ConfigError(f"{who} with entries that are not finite")
    return without_history(made)


def checked_finish(name: str, found: object) -> tuple[State, State]:
    """What ``LocalObjective.finish`` returned: (what the client keeps, what it uploads), named tensors both.

    Args:
        name: of the objective.

    Raises:
        ConfigError: it is something else.
    """
    who = f"objective {name!r}: finish"
    if not isinstance(found, tuple) or len(found) != 2:
        raise ConfigError(f"{who} must return (kept, uploads), not {described(found)}")
    return checked_state(who, found[0]), checked_state(who, found[1])


def checked_personal(name: str, found: PersonalModel) -> PersonalModel:
    """A kind of personal model whose epochs and objective are such, the objective without a part on the server.

    Args:
        name: of the component in ``clients.personal``.

    Raises:
        ConfigError: they are something else.
    """
    who, epochs, objective = f"personal {name!r}", found.epochs, found.objective
    whole = isinstance(epochs, int) and not isinstance(epochs, bool) and epochs >= 0
    if epochs is not None and not whole:
        raise ConfigError(
            f"{who}: epochs is {described(epochs)}; expected a whole number, at least 0, or None for those of local "
            "training"
        )
    if not isinstance(objective, LocalObjective):
        raise ConfigError(f"{who}: objective is {described(objective)}; expected a LocalObjective")
    checked_parts(f"{who}: objective", objective)
    if found.own is not None and (epochs != 0 or found.lasting):
        raise ConfigError(
            f"{who}: a client with layers of its own has them from its local training; expected epochs = 0"
        )
    plain = LocalObjective()
    for part in ("server_init", "send", "collect"):
        if getattr(objective, part) is not getattr(plain, part):
            raise ConfigError(
                f"{who}: its objective has a part on the server, {part}, which is never called: nothing of a personal "
                "model is sent"
            )
    return found if epochs != 0 else PersonalModel(epochs=0, own=found.own)  # of which nothing lasts
