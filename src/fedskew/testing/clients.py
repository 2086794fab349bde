"""Checks of selections, start weights and personal models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fedskew.components.returned import checked_personal
from fedskew.protocols import (
    IndexArray,
    LocalObjective,
    PersonalModel,
    Rng,
    SelectionView,
    StartView,
    StartWeights,
    State,
)
from fedskew.testing.examples import PARAMETERS, each, rng, row
from fedskew.testing.exercise import Rule, exercise, limiting_case, stateless
from fedskew.testing.objectives import exercise_objective
from fedskew.testing.subject import Named, subject


def check_selection(selection: Named, **options: Any) -> None:
    """What every selection must do: distinct clients that exist, at least one.

    The example has 12 clients, one of them without data, and cohorts of 4.

    Raises:
        ConformanceError, ConfigError: one sentence that names the selection.
    """
    checked = subject("selection", selection, options)

    def wrap(function: Any) -> Rule:
        def select(view: SelectionView, draws: Rng) -> list[int]:
            ids = np.asarray(function(view, draws))
            if ids.ndim != 1 or not len(ids) or not np.issubdtype(ids.dtype, np.integer):
                checked.fail("must return the ids of at least one client, as whole numbers")
            if len(set(ids.tolist())) != len(ids):
                checked.fail("returned a client twice")
            if ids.min() < 0 or ids.max() >= view.num_clients:
                checked.fail(f"returned a client that does not exist; there are 0 to {view.num_clients - 1}")
            return [int(k) for k in ids]

        return stateless(select)

    def given(clients: int, size: int, number: int) -> dict[str, Any]:
        return {"view": _selection_view(clients, size, number), "rng": rng(number)}

    exercise(checked, wrap, each(3, lambda i: given(12, 4, i)))
    limiting_case(checked, wrap, lambda: given(1, 1, 0), "a run with one client")


def _selection_view(clients: int, size: int, number: int) -> SelectionView:
    sizes: IndexArray = 10 * (np.arange(clients, dtype=np.int64) + (clients == 1))

    def losses(ids: Sequence[int]) -> Any:
        reported = np.where(sizes > 0, 1 + np.cos(np.arange(clients) + number), np.nan)
        return reported[np.asarray(ids)]

    return SelectionView(number + 1, clients, size, sizes, losses)


def check_start(start: Named, **options: Any) -> None:
    """What every rule of start weights must do.

    Raises:
        ConformanceError, ConfigError: one sentence that names the rule.
    """
    checked = subject("start", start, options)

    def wrap(built: Any) -> Rule:
        def apply(view: StartView, draws: Rng, state: State) -> tuple[Any, State]:
            result = (
                built.apply(view, state, draws)
                if isinstance(built, StartWeights)
                else (built(view, draws), state)
            )
            weights, kept = checked.parts(result, "start weights", "state")
            if weights is not None:
                shapes = ((PARAMETERS,), (len(view.client_ids), PARAMETERS))
                checked.tensor(weights, "the start weights", *shapes)
            return weights, kept

        return Rule(apply, built.init) if isinstance(built, StartWeights) else Rule(apply)

    def given(clients: tuple[int, ...], number: int) -> dict[str, Any]:
        return {"view": StartView(number + 1, row(number), clients), "rng": rng(number)}

    exercise(checked, wrap, each(3, lambda i: given((1, 4, 5 + i), i)))
    limiting_case(checked, wrap, lambda: given((3,), 0), "a round with one client")


def check_personal(personal: Named, **options: Any) -> None:
    """What every kind of personal model must do: what ``check_objective`` tests of its objective, which gets the
    global weights as ``view.sent["global"]``, and that it has no part on the server.

    Raises:
        ConformanceError, ConfigError: one sentence that names the kind.
    """
    checked = subject("personal", personal, options)

    def objective() -> LocalObjective:
        made = checked.instance(checked.make(), PersonalModel, "the result")
        found = checked.returned(checked_personal, made).objective
        return replace(found, send=lambda state: {"global": row(70)})

    exercise_objective(replace(checked, make=objective))
