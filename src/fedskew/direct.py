"""Every rule by itself on a matrix of updates, without a run: ``aggregate`` and ``craft``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fedskew.aggregation.matrix import finite_rows
from fedskew.components.binding import build_attack
from fedskew.components.returned import checked_attack, same_shape
from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.protocols import (
    AdversaryView,
    ClientUpdates,
    Crafted,
    DatasetInfo,
    ParameterLayout,
    Rng,
    ServerView,
)
from fedskew.seeding import stream

Named: TypeAlias = str | Callable[..., Any] | Mapping[str, Any] | Component
"""A component: a name, a callable, or ``{"name": ..., options}``."""
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
        rng: what rules draw from, one after another; unless given, streams of ``seed``.
        options: of the aggregator.

    Raises:
        ConfigError: unknown rule or option, something that is not a matrix, or a rule that cannot handle it.

    >>> aggregate("median", [[1, 2], [3, 9], [2, 0]])
    tensor([2., 2.])
    >>> aggregate("fedavg", [[1, 2], [3, 6]], num_examples=[3, 1])
    tensor([1.5000, 3.0000])
    >>> aggregate("mean", [[3, 4], [0, 1]], transforms=[{"name": "clip", "norm": 1}])
    tensor([0.3000, 0.9000])
    """
    matrix = _matrix("deltas", deltas)
    count, parameters = matrix.shape
    updates = ClientUpdates(matrix, _counts(num_examples, count, matrix.device), torch.arange(count))
    view = ServerView(
        round=1,
        global_weights=matrix.new_zeros(parameters),
        layout=_layout(parameters),
        num_clients=count,
        rng=stream(seed, "aggregator", 1) if rng is None else rng,
        root_update=None if root_update is None else _row("root_update", root_update, matrix),
    )
    for i, transform in enumerate(transforms):
        step = build_rule("transform", _component(transform))
        draws = stream(seed, "transform", 1, i) if rng is None else rng
        updates, _ = step.apply(updates, view, step.init(), draws)
    component = _component(rule, options)
    aggregator = build_rule("aggregator", component)
    delta, _, _ = aggregator.apply(updates, view, aggregator.init())
    return same_shape(f"aggregator {component.label!r}", delta, view.global_weights)


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
        aggregator, transforms, root_update: the defence, for an attack that knows it. Every client has one example.
        info: what the attack is told of the data.
        rng: what the attack draws from; unless given, a stream of ``seed``.
        options: of the attack.

    Raises:
        ConfigError: unknown attack or option, something that is not a matrix, or an attack that cannot handle it.

    >>> craft("sign-flip", [[1, 2], [3, 4]], adversaries=2)
    tensor([[-2., -3.],
            [-2., -3.]])
    """
    rows = _matrix("honest", honest)
    if own is not None:
        trained = _matrix("own", own)
    elif adversaries < 1:
        raise ConfigError(f"adversaries = {adversaries}: must be at least 1", field="adversaries")
    else:
        trained = rows.mean(dim=0).repeat(adversaries, 1)
    if trained.shape[1] != rows.shape[1]:
        raise ConfigError(
            f"own has {trained.shape[1]} parameters and honest has {rows.shape[1]}", field="own"
        )
    component, count = _component(attack, options), len(trained)
    built = checked_attack(component.label, build_attack(component, info))

    def simulate(sent: Tensor) -> Tensor:
        return aggregate(
            aggregator, torch.cat([rows, sent]), transforms=transforms, root_update=root_update, seed=seed
        )

    view = AdversaryView(
        round=1,
        global_weights=rows.new_zeros(rows.shape[1]),
        layout=_layout(rows.shape[1]),
        client_ids=torch.arange(len(rows), len(rows) + count),
        num_examples=torch.ones(count, dtype=torch.int64, device=rows.device),
        others=rows.clone() if built.threat.sees == "all-updates" else None,
        ranks=torch.arange(count),
        count=count,
        state=built.init(),
        simulate=simulate if built.threat.knows_defence else None,
    )
    crafted = built.craft(trained.clone(), view, stream(seed, "craft", 1) if rng is None else rng)
    sent = crafted.deltas if isinstance(crafted, Crafted) else crafted
    return same_shape(f"attack {component.label!r}: craft", sent, trained)


def _component(named: Named, options: Mapping[str, Any] | None = None) -> Component:
    if isinstance(named, Component):
        named = {"name": named.name, **named.options}
    plain = {**named} if isinstance(named, Mapping) else {"name": named}
    if not isinstance(plain.get("name"), str) and not callable(plain.get("name")):
        raise ConfigError(f'{named!r} is not a component; expected a name, a callable or {{"name": ...}}')
    return Component.model_validate({**plain, **(options or {})})


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


def _counts(numbers: Sequence[int] | Tensor | None, count: int, device: torch.device) -> Tensor:
    given = torch.ones(count) if numbers is None else _tensor("num_examples", numbers, torch.float64)
    if given.shape != (count,) or not (given >= 1).all() or not (given == given.round()).all():
        raise ConfigError(
            f"num_examples must be {count} whole numbers > 0, one per row of deltas", field="num_examples"
        )
    return given.to(device, torch.int64)


def _layout(parameters: int) -> ParameterLayout:
    return ParameterLayout(("weights",), ((parameters,),))
