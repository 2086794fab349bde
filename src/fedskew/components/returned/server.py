"""Checks of what the parts of a defence and the server step give back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedskew.components.returned.tensors import (
    checked_state,
    described,
    number,
    same_shape,
    tensor_of,
    without_history,
)
from fedskew.errors import ConfigError
from fedskew.protocols import AggregationTrace, ClientUpdates, State


def checked_transform(name: str, found: object, given: ClientUpdates) -> ClientUpdates:
    """What a transform made of the updates: at least one row and at most as many as it was given, each of the given
    clients at most once or of several (id -1), and with every row all that belongs to it.

    Args:
        name: of the transform.
        given: the updates as they were before it.

    Raises:
        ConfigError: it is something else.
    """
    who = f"transform {name!r}"
    if not isinstance(found, ClientUpdates):
        raise ConfigError(f"{who} must return ClientUpdates, not {described(found)}")
    if not isinstance(found.deltas, Tensor) or found.deltas.ndim != 2:
        raise ConfigError(f"{who} returned deltas = {described(found.deltas)}; expected a matrix")
    rows, (most, parameters) = len(found.deltas), given.deltas.shape
    if not 1 <= rows <= most:
        raise ConfigError(f"{who} returned {rows} rows for {most}; expected 1 to {most}")
    tensor_of(f"{who} returned deltas", found.deltas, given.deltas.dtype, (rows, parameters))
    sizes = tensor_of(f"{who} returned num_examples", found.num_examples, torch.int64, (rows,))
    if int(sizes.min()) < 1:
        raise ConfigError(f"{who} returned num_examples = {int(sizes.min())}; expected 1 or more")
    ids = tensor_of(f"{who} returned client_ids", found.client_ids, torch.int64, (rows,))
    single = ids[ids >= 0].tolist()
    if int(ids.min()) < -1 or len({*single}) < len(single) or not {*single} <= {*given.client_ids.tolist()}:
        raise ConfigError(
            f"{who} returned client_ids = {ids.tolist()}; expected ids that it was given, each at most once, "
            "and -1 for a row that is made of several clients"
        )
    if not isinstance(found.uploads, Mapping):
        raise ConfigError(f"{who} returned uploads = {described(found.uploads)}; expected {{name: tensor}}")
    parts = {"steps": found.steps, "losses": found.losses, "start_losses": found.start_losses}
    for part, value in (*parts.items(), *found.uploads.items()):
        if value is not None and (not isinstance(value, Tensor) or value.shape[:1] != (rows,)):
            raise ConfigError(f"{who} returned {part} = {described(value)}; expected one per row, {rows}")
    return found.with_deltas(without_history(found.deltas)) if found.deltas.requires_grad else found


def checked_transformed(name: str, found: object, given: ClientUpdates) -> tuple[ClientUpdates, State]:
    """What ``UpdateTransform.apply`` returned: the updates (``checked_transform``) and the state.

    Args:
        name: of the transform.
        given: the updates as they were before it.

    Raises:
        ConfigError: it is something else.
    """
    who = f"transform {name!r}"
    if not isinstance(found, tuple) or len(found) != 2:
        raise ConfigError(f"{who} must return (updates, state), not {described(found)}")
    return checked_transform(name, found[0], given), checked_state(who, found[1])


def checked_aggregate(
    name: str, found: object, weights: Tensor, rows: int
) -> tuple[Tensor, AggregationTrace, State]:
    """What an aggregator returned: delta [P], a trace with a finite weight >= 0 for each row if any, the state.

    Args:
        name: of the aggregator.
        weights: [P], the global weights.
        rows: how many updates it was given.

    Raises:
        ConfigError: it is something else.
    """
    who = f"aggregator {name!r}"
    if not isinstance(found, tuple) or len(found) != 3:
        raise ConfigError(f"{who} must return (delta, trace, state), not {described(found)}")
    delta, trace, state = found
    if not isinstance(trace, AggregationTrace):
        raise ConfigError(f"{who} must return an AggregationTrace as its trace, not {described(trace)}")
    try:
        values = {str(key): float(value) for key, value in trace.values.items()}
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ConfigError(f"{who} recorded something that is not a number: {error}") from None
    given = trace.client_weights
    if given is not None:
        if not isinstance(given, Tensor) or given.shape != (rows,) or not given.is_floating_point():
            raise ConfigError(f"{who} returned client_weights = {described(given)}; expected float [{rows}]")
        if not (given.isfinite() & (given >= 0)).all():
            raise ConfigError(f"{who} returned client_weights that are negative or not finite")
    return same_shape(who, delta, weights), AggregationTrace(values, given), checked_state(who, state)


def checked_rate(name: str, found: object, weights: Tensor) -> Tensor | float:
    """A server learning rate: a finite number, or finite numbers [P], one per parameter.

    Args:
        name: of the learning-rate rule.
        weights: [P], the global weights.

    Raises:
        ConfigError: it is something else.
    """
    who = f"learning-rate {name!r}"
    if not isinstance(found, Tensor) or not found.ndim:
        rate = number(found)
        if rate is None:
            raise ConfigError(
                f"{who} returned {described(found)}; expected a finite number or a tensor {list(weights.shape)}"
            )
        return rate
    if found.shape != weights.shape or not found.is_floating_point():
        raise ConfigError(
            f"{who} returned {described(found)}; expected a number or a float tensor {list(weights.shape)}"
        )
    if not found.isfinite().all():
        raise ConfigError(f"{who} returned rates that are not finite")
    return without_history(found).to(weights.device)


def checked_step(name: str, found: object, delta: Tensor) -> tuple[Tensor, State]:
    """What a server step returned: the step [P] and the state.

    Args:
        name: of the component in ``server.step``.
        delta: [P], what it was given.

    Raises:
        ConfigError: it is something else.
    """
    who = f"server-step {name!r}"
    if not isinstance(found, tuple) or len(found) != 2:
        raise ConfigError(f"{who} must return (step, state), not {described(found)}")
    return same_shape(who, found[0], delta), checked_state(who, found[1])
