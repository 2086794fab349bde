"""Checks of metrics, observers and stopping rules."""

from __future__ import annotations

from collections.abc import Container, Mapping

from fedskew.errors import ConfigError
from fedskew.protocols import Verdict


def checked_verdict(name: str, verdict: object) -> Verdict:
    """A ``Verdict``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(verdict, Verdict):
        raise ConfigError(f"stopping rule {name!r} must return a Verdict, not {type(verdict).__name__}")
    return verdict


def checked_metrics(
    name: str, found: object, taken: Container[str], kind: str = "metric"
) -> dict[str, float]:
    """Named numbers, none of them under a name that is taken.

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
    try:
        return {str(key): float(value) for key, value in found.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{kind} {name!r} returned something that is not a number: {error}") from None


def checked_observed(name: str, found: object, taken: Container[str]) -> dict[str, float]:
    """What an observer recorded of a round: named numbers, or None for nothing.

    Raises:
        ConfigError: it is something else.
    """
    return {} if found is None else checked_metrics(name, found, taken, "observer")
