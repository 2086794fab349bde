"""Every rule by itself on a matrix of updates, without a run: ``aggregate`` and ``craft``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fedskew.aggregation.matrix import finite_rows
from fedskew.components.attacking import attack_against
from fedskew.components.returned import checked_aggregate, checked_crafted, checked_transform
from fedskew.components.rules import build_rule
from fedskew.config import Component, Defence
from fedskew.config.component import Named
from fedskew.errors import ConfigError
from fedskew.portable import row_mean
from fedskew.protocols import (
    AdversaryView,
    ClientUpdates,
    DatasetInfo,
    ParameterLayout,
    Rng,
    ServerView,
)
from fedskew.seeding import stream

Numbers: TypeAlias = Any
"""A tensor, an array or nested sequences of numbers."""

INFO = DatasetInfo("none", tuple(map(str, range(10))), (1, 28, 28), (0.5,), (0.25,))
"""What an attack is told about the data by default: ten classes of 28x28 grey images."""


def aggregate(
    rule: Named,
    deltas: Numbers,
    num_examples: Sequence[int] | Tensor | None = None,
    transforms: Sequence[Named] = (),
    *,
    root_update: Numbers | None = None,
    steps: Sequence[int] | Tensor | None = None,
    start_losses: Sequence[float] | Tensor | None = None,
    rng: Rng | None = None,
    seed: int = 0,
    **options: Any,
) -> Tensor:
    """The result of a server's rule for updates in its first round, float32 [P].

    Args:
        rule: an aggregator.
        deltas: [S, P] finite numbers, a client's local minus global weights in each row. Copied; computed in
            float32, as in a run.
        num_examples: [S] whole numbers > 0; 1 each unless given.
        transforms: applied to the updates first.
        root_update: [P], the server's own update, for rules that ask for one.
        steps: [S] whole numbers > 0, the optimiser steps of each client, for rules that look at them.
        start_losses: [S] finite numbers, each client's loss before training, for rules that ask for it.
        rng: what rules draw from, one after another; unless given, streams of ``seed``.
        options: of the aggregator.

    Raises:
        ConfigError: unknown rule or option, something that is not a matrix, a rule that cannot handle it, or that
            returns what it may not.

    >>> aggregate("median", [[1, 2], [3, 9], [2, 0]])
    tensor([2., 2.])
    >>> aggregate("fedavg", [[1, 2], [3, 6]], num_examples=[3, 1])
    tensor([1.5000, 3.0000])
    >>> aggregate("mean", [[3, 4], [0, 1]], transforms=[{"name": "clip", "norm": 1}])
    tensor([0.3000, 0.9000])
    """
    draws = _streams(rng, seed)
    matrix = _matrix("deltas", deltas)
    count, parameters = matrix.shape
    updates = ClientUpdates(
        matrix,
        _counts("num_examples", [1] * count if num_examples is None else num_examples, count, matrix.device),
        torch.arange(count),
        steps=None if steps is None else _counts("steps", steps, count, torch.device("cpu")),
        start_losses=None if start_losses is None else _losses(start_losses, count),
    )
    view = ServerView(
        round=1,
        global_weights=matrix.new_zeros(parameters),
        layout=_layout(parameters),
        num_clients=count,
        rng=draws("aggregator", 1),
        root_update=None if root_update is None else _row("root_update", root_update, matrix),
        num_updates=count,
    )
    for i, transform in enumerate(_listed(transforms)):
        made = build_rule("transform", transform)
        found = made.apply(updates, view, made.init(), draws("transform", 1, i))
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError(
                f"transform {transform.label!r} must return (updates, state), not {type(found).__name__}"
            )
        updates = checked_transform(transform.label, found[0], updates)
    component = _component(rule, options)
    aggregator = build_rule("aggregator", component)
    result = aggregator.apply(updates, view, aggregator.init())
    return checked_aggregate(component.label, result, view.global_weights, len(updates.deltas))[0]


def craft(
    attack: Named,
    honest: Numbers,
    adversaries: int = 1,
    own: Numbers | None = None,
    aggregator: Named = "fedavg",
    *,
    transforms: Sequence[Named] = (),
    root_update: Numbers | None = None,
    info: DatasetInfo = INFO,
    rng: Rng | None = None,
    seed: int = 0,
    **options: Any,
) -> Tensor:
    """What adversaries send in the first round in which they act, float32 [A, P].

    Args:
        attack: it sees what its threat model lets it see.
        honest: [S - A, P] finite numbers, the updates of the honest clients.
        adversaries: A, >= 1; the number of rows of ``own`` where that is given.
        own: [A, P], what the adversaries' own training gave; unless given, the honest mean in each row.
        aggregator: of the defence, for an attack that knows it. Every client has one example.
        transforms: of the defence.
        root_update: the server's own update, for aggregators that ask for one.
        info: what the attack is told of the data.
        rng: what the attack draws from; unless given, a stream of ``seed``.
        options: of the attack.

    Raises:
        ConfigError: unknown attack or option, something that is not a matrix, an attack that cannot handle it, or that
            returns what it may not.

    >>> craft("sign-flip", [[1, 2], [3, 4]], adversaries=2)
    tensor([[-2., -3.],
            [-2., -3.]])
    """
    draws, steps = _streams(rng, seed), _listed(transforms)
    rows = _matrix("honest", honest)
    wanted = _whole("adversaries", adversaries, 1)
    trained = row_mean(rows).repeat(wanted, 1) if own is None else _matrix("own", own)
    if trained.shape[1] != rows.shape[1]:
        raise ConfigError(
            f"own has {trained.shape[1]} parameters and honest has {rows.shape[1]}", field="own"
        )
    component, count = _component(attack, options), len(trained)
    defence = Defence(transforms=tuple(steps), aggregator=_component(aggregator))
    built = attack_against(component, info, defence)

    sees_all = built.threat.sees == "all-updates"

    def simulate(sent: Tensor, num_examples: Tensor | None = None) -> Tensor:
        theirs = torch.ones(count) if num_examples is None else num_examples.cpu()
        return aggregate(
            aggregator,
            torch.cat([rows, sent]),
            torch.cat([torch.ones(len(rows), dtype=theirs.dtype), theirs]),
            transforms=steps,
            root_update=root_update,
            seed=seed,
        )

    view = AdversaryView(
        round=1,
        global_weights=rows.new_zeros(rows.shape[1]),
        layout=_layout(rows.shape[1]),
        client_ids=torch.arange(len(rows), len(rows) + count),
        num_examples=torch.ones(count, dtype=torch.int64, device=rows.device),
        others=rows.clone() if sees_all else None,
        other_ids=torch.arange(len(rows)) if sees_all else None,
        ranks=torch.arange(count),
        count=count,
        state=built.init(),
        simulate=simulate if built.threat.knows_defence else None,
    )
    crafted = built.craft(trained.clone(), view, draws("craft", 1))
    return checked_crafted(component.label, crafted, trained, view.uploads).deltas


def _component(named: Named, options: Mapping[str, Any] | None = None) -> Component:
    if isinstance(named, Component):
        named = {"name": named.name, **named.options}
    plain = {**named} if isinstance(named, Mapping) else {"name": named}
    if not isinstance(plain.get("name"), str) and not callable(plain.get("name")):
        raise ConfigError(f'{named!r} is not a component; expected a name, a callable or {{"name": ...}}')
    return Component.model_validate({**plain, **(options or {})})


def _listed(transforms: Sequence[Named]) -> list[Component]:
    if not isinstance(transforms, list | tuple):
        raise ConfigError(
            f"transforms must be a list of components, not {type(transforms).__name__}",
            "for a single one, transforms=[...]",
            "transforms",
        )
    return [_component(transform) for transform in transforms]


def _streams(rng: Rng | None, seed: int) -> Callable[..., Rng]:
    """(purpose, *ids) -> what to draw from: the generator that was given, or else a stream of the seed."""
    whole = _whole("seed", seed, 0)
    if rng is None:
        return functools.partial(stream, whole)
    if not isinstance(rng, np.random.Generator):
        raise ConfigError(
            f"rng must be a numpy.random.Generator, not {type(rng).__name__}",
            "a whole number is a seed: seed=...",
            "rng",
        )
    return lambda *_: rng


def _whole(what: str, value: int, least: int) -> int:
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ConfigError(f"{what} = {value!r}: must be a whole number >= {least}", field=what)
    return number


def _tensor(what: str, numbers: Numbers, dtype: torch.dtype = torch.float32) -> Tensor:
    """A copy in this format."""
    try:
        if isinstance(numbers, Tensor):
            return numbers.detach().to(dtype, copy=True)
        return torch.from_numpy(np.array(numbers, dtype=np.float64)).to(dtype)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} cannot be read as numbers: {error}", field=what) from None


def _matrix(what: str, numbers: Numbers) -> Tensor:
    matrix = _tensor(what, numbers)
    if matrix.ndim != 2 or not matrix.numel():
        raise ConfigError(
            f"{what} must be a matrix with one row per client, at least one row and one column; "
            f"got the shape {list(matrix.shape)}",
            field=what,
        )
    if not finite_rows(matrix).all():
        first = int((~finite_rows(matrix)).nonzero()[0])
        raise ConfigError(
            f"{what}: row {first} has an entry that is not finite in float32; a run leaves such a client out",
            field=what,
        )
    return matrix


def _row(what: str, numbers: Numbers, matrix: Tensor) -> Tensor:
    row = _tensor(what, numbers).to(matrix.device)
    if row.shape != matrix.shape[1:] or not row.isfinite().all():
        raise ConfigError(
            f"{what} must be {matrix.shape[1]} finite numbers, one per parameter; got the shape {list(row.shape)}",
            field=what,
        )
    return row


def _counts(what: str, numbers: Sequence[int] | Tensor, count: int, device: torch.device) -> Tensor:
    given = _tensor(what, numbers, torch.float64)
    if given.shape != (count,) or not ((given >= 1) & (given < 2**63) & (given == given.round())).all():
        raise ConfigError(f"{what} must be {count} whole numbers > 0, one per row of deltas", field=what)
    return given.to(device, torch.int64)


def _losses(numbers: Sequence[float] | Tensor, count: int) -> Tensor:
    given = _tensor("start_losses", numbers, torch.float64).cpu()
    if given.shape != (count,) or not given.isfinite().all():
        raise ConfigError(
            f"start_losses must be {count} finite numbers, one per row of deltas", field="start_losses"
        )
    return given


def _layout(parameters: int) -> ParameterLayout:
    return ParameterLayout(("weights",), ((parameters,),))
