"""Facts that a plug-in states of itself, with a decorator or by its return annotation (``row.Facts``).

@fedskew.facts(always_acts=True)
def my_rule(updates, view): ...
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fedskew.components.row import Facts
from fedskew.components.seams import SEAMS
from fedskew.errors import ConfigError, unknown

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "__fedskew_facts__"


def facts(**stated: Any) -> Callable[[F], F]:
    """Decorator: states what is known of a component, by the fields of ``components.row.Facts``.

    Raises:
        ConfigError: there is no such fact.

    >>> from fedskew.components.known import facts_of
    >>> from fedskew.config import Component
    >>> @facts(defends=False)
    ... def equal_weights(updates, view):
    ...     return updates.deltas.mean(dim=0)
    >>> facts_of("aggregator", Component(name=equal_weights)).defends
    False
    """
    valid = [field.name for field in dataclasses.fields(Facts)]
    for name in stated:
        if name not in valid:
            raise ConfigError(*unknown("fact of a component", name, valid))
    known = Facts(**stated)

    def decorate(function: F) -> F:
        setattr(function, _ATTRIBUTE, known)
        return function

    return decorate


def stated(function: Callable[..., Any]) -> Facts | None:
    """What a component states of itself, also through ``functools.partial``; None if nothing."""
    found: Facts | None = getattr(function, _ATTRIBUTE, None)
    if found is None and isinstance(function, functools.partial):
        return stated(function.func)
    return found


def states_factory(kind: str, function: Callable[..., Any]) -> bool:
    """Whether a component says that it is a factory: with ``facts(factory=True)``, or since it is annotated to return
    its kind's record (``-> Aggregator``)."""
    seam = SEAMS[kind]
    if seam.factory is None or not seam.arguments:
        return seam.factory is not None
    known = stated(function)
    if known is not None and known.factory:
        return True
    returned = inspect.signature(function).return_annotation
    name = returned if isinstance(returned, str) else getattr(returned, "__name__", "")
    return name.strip("\"'").rpartition(".")[2] == seam.factory
