"""Checks of metrics, observers and stopping rules."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import get_args

import numpy as np

from fedskew.components.columns import LONG, RUNS, STATISTICS
from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError
from fedskew.protocols import Observer, Seat, Verdict
from fedskew.wording import in_one_line

COLUMNS = frozenset({*RUNS, *LONG, *STATISTICS})
"""What tables of results call what is no metric."""


def checked_verdict(name: str, verdict: object) -> Verdict:
    """A ``Verdict`` that says why where it says stop: that the rule says so, if it gives no reason itself.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(verdict, Verdict):
        raise ConfigError(f"stopping rule {name!r} must return a Verdict, not {type(verdict).__name__}")
    if not isinstance(verdict.stop, bool | np.bool_) or not isinstance(verdict.reason, str):
        raise ConfigError(
            f"stopping rule {name!r} returned Verdict({described(verdict.stop)}, {described(verdict.reason)}); "
            "expected true or false, and the reason as text"
        )
    return Verdict(bool(verdict.stop), verdict.reason or f"stopping rule {name!r}")


def checked_metrics(
    name: str, found: object, taken: Container[str], kind: str = "metric"
) -> dict[str, float]:
    """Named numbers, none of them under a name that is taken, by another metric or a column of the results.

    Args:
        kind: of the component, for errors.

    Raises:
        ConfigError: they are something else.
    """
    if not isinstance(found, Mapping):
        raise ConfigError(f"{kind} {name!r} must return {{name: number}}, not {type(found).__name__}")
    for key in found:
        if key in taken:
            raise ConfigError(f"{kind} {name!r} returned {key!r}, which is the name of another metric")
        if key in COLUMNS or str(key).startswith("skew_"):
            raise ConfigError(f"{kind} {name!r} returned {key!r}, which is a column of the results")
        if not key or in_one_line(str(key)) != str(key):
            raise ConfigError(f"{kind} {name!r} returned {key!r}; expected a name that can be shown")
    try:
        return {str(key): float(value) for key, value in found.items()}
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(f"{kind} {name!r} returned something that is not a number: {error}") from None


def checked_observer(name: str, observer: Observer) -> Observer:
    """An observer in a seat that there is.

    Raises:
        ConfigError: there is no such seat.
    """
    if observer.seat not in get_args(Seat):
        raise ConfigError(
            f"observer {name!r} has the seat {observer.seat!r}; valid: {', '.join(get_args(Seat))}"
        )
    return observer


def checked_observed(name: str, found: object, taken: Container[str]) -> dict[str, float]:
    """What an observer recorded of a round: named numbers, or None for nothing.

    Raises:
        ConfigError: it is something else.
    """
    return {} if found is None else checked_metrics(name, found, taken, "observer")
