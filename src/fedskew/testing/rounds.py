"""Checks of what looks at past rounds: stopping rules, learning-rate schedules, callbacks."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from fedskew.protocols import RoundRecord, Verdict
from fedskew.testing.examples import history
from fedskew.testing.exercise import Rule, exercise, stateless
from fedskew.testing.subject import Named, subject

LENGTHS = (1, 2, 15)
"""Rounds in the examples' histories."""


def check_stopping(rule: Named, **options: Any) -> None:
    """What every stopping rule must do: a verdict that follows from the history alone.

    Raises:
        ConformanceError, ConfigError: one sentence that names the rule.
    """
    checked = subject("stopping", rule, options)

    def wrap(function: Any) -> Rule:
        return stateless(lambda seen: checked.instance(function(seen), Verdict, "the result"))

    exercise(checked, wrap, [partial(_given, length) for length in LENGTHS])


def check_lr_schedule(schedule: Named, **options: Any) -> None:
    """What every learning-rate schedule must do: a finite factor, also before the first round.

    Raises:
        ConformanceError, ConfigError: one sentence that names the schedule.
    """
    checked = subject("lr-schedule", schedule, options)

    def wrap(function: Any) -> Rule:
        def factor(seen: list[RoundRecord]) -> float:
            found = checked.instance(function(seen), float, "the factor")
            if not math.isfinite(found) or found < 0:
                checked.fail(f"gave the factor {found}, which is not a finite number >= 0")
            return found

        return stateless(factor)

    exercise(checked, wrap, [partial(_given, length) for length in (0, *LENGTHS)])


def check_callback(callback: Named, *, run: Any, **options: Any) -> None:
    """What every callback must do: it sees rounds and the end, and changes no record.

    Args:
        run: what it is told of the run, as in ``fedskew.trackers``.

    Raises:
        ConformanceError, ConfigError: one sentence that names the callback.
    """
    checked = subject("callback", callback, options)

    def wrap(factory: Any) -> Rule:
        def follow(records: list[RoundRecord]) -> None:
            built = factory(run)
            for record in records:
                built.on_round(record)
            built.on_end(records, "the round limit")
            getattr(built, "close", lambda: None)()

        return stateless(follow)

    exercise(checked, wrap, [lambda: {"records": history(3)}])


def _given(rounds: int) -> dict[str, Any]:
    return {"history": history(rounds)}
