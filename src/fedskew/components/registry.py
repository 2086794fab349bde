"""(kind, name | callable | "package.module:function") -> component, with its signature and options checked.

Third parties register by an entry point in the group ``fedskew.<kind>`` or, in Python, with ``@register``.
Code that a config names as ``package.module:function`` is imported only after ``allow_plugin`` (rule 6).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from fedskew.components.facts import states_factory
from fedskew.components.permission import may_import
from fedskew.components.seams import SEAMS, Seam
from fedskew.components.table import BUILT_IN
from fedskew.errors import ConfigError, unknown
from fedskew.wording import article

F = TypeVar("F", bound=Callable[..., Any])


_registered: dict[tuple[str, str], Callable[..., Any]] = {}


def register(kind: str, name: str) -> Callable[[F], F]:
    """Decorator: registers a component for this process.

    Raises:
        ConfigError: unknown kind, a name that is taken, or a signature that does not fit the seam.

    >>> @register("aggregator", "first of all")
    ... def first(updates, view):
    ...     return updates.deltas[0]
    >>> "first of all" in names("aggregator")
    True
    >>> del _registered["aggregator", "first of all"]
    """

    def decorate(function: F) -> F:
        check_signature(kind, name, function)
        if name in names(kind):
            raise ConfigError(f"there is already {article(kind)} called {name!r}")
        _registered[kind, name] = function
        return function

    return decorate


def kinds() -> list[str]:
    """The kinds of component."""
    return list(SEAMS)


def names(kind: str) -> dict[str, str]:
    """Names of a kind -> where the component comes from (a summary, or the package of a plugin)."""
    if kind not in SEAMS:
        raise ConfigError(*unknown("kind of component", kind, SEAMS))
    return all_names([kind])[kind]


def all_names(wanted: Iterable[str]) -> dict[str, dict[str, str]]:
    """``names`` of several kinds: looks through the installed packages once instead of once per kind."""
    found = {kind: {name: row.summary for name, row in BUILT_IN[kind].items()} for kind in wanted}
    for (kind, name), function in _registered.items():
        if kind in found:
            found[kind][name] = (inspect.getdoc(function) or "registered in this process").splitlines()[0]
    installed = importlib.metadata.entry_points()
    for kind in found:
        for point in installed.select(group=f"fedskew.{kind}"):
            origin = point.dist.name if point.dist else "an installed package"
            found[kind].setdefault(point.name, f"from {origin} ({point.value})")
    return found


def is_registered(kind: str, name: str) -> bool:
    """Whether a component of this name was registered in this process."""
    return (kind, name) in _registered


def is_factory(kind: str, name: str | Callable[..., Any], function: Callable[..., Any]) -> bool:
    """Whether a component is a factory of a record rather than the rule itself: its row says so, or it does."""
    row = BUILT_IN[kind].get(name) if isinstance(name, str) else None
    return states_factory(kind, function) if row is None else row.facts.factory


def check_signature(kind: str, name: str, function: Callable[..., Any]) -> None:
    """Refuses a component whose signature does not fit its seam.

    Raises:
        ConfigError: names the component and the argument.
    """
    if kind not in SEAMS:
        raise ConfigError(*unknown("kind of component", kind, SEAMS))
    if not callable(function):
        raise ConfigError(f"{kind} {name!r} is not callable but {type(function).__name__}")
    seam = SEAMS[kind]
    if is_factory(kind, name, function):
        return
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for position, expected in enumerate(seam.arguments):
        found = positional[position].name if position < len(positional) else None
        if found != expected:
            raise ConfigError(*_wrong(kind, name, seam, position, found))


def _wrong(kind: str, name: str, seam: Seam, position: int, found: str | None) -> tuple[str, str | None]:
    message = (
        f"{kind} {name!r}: argument {position + 1} must be {seam.arguments[position]!r}, "
        f"{'found ' + repr(found) if found else 'which is missing'}; "
        f"{article(kind)} takes ({', '.join(seam.arguments)}, then its options)"
    )
    if seam.factory is None:
        return message, None
    return message, (
        f"if it is a factory of its options, say so: annotate it with -> {seam.factory}, "
        "or decorate it with @fedskew.facts(factory=True)"
    )


def lookup(kind: str, name: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function of a name, a callable or ``package.module:function``; its signature checked.

    Raises:
        ConfigError: there is none, it may not be imported, or its signature is wrong.
    """
    if callable(name):
        check_signature(kind, getattr(name, "__qualname__", str(name)), name)
        return name
    if row := BUILT_IN.get(kind, {}).get(name):
        return _import(row.target)
    if (kind, name) in _registered:
        return _registered[kind, name]
    for point in importlib.metadata.entry_points(group=f"fedskew.{kind}", name=name):
        with _settings_kept():
            function: Callable[..., Any] = point.load()
        check_signature(kind, f"{name} ({point.value})", function)
        return function
    if ":" in name:
        module = name.partition(":")[0]
        if not may_import(module):
            raise ConfigError(
                f"{kind} {name!r} is code from outside, which requires permission to be imported",
                f"if you trust it, add --allow-plugin {module.partition('.')[0]}",
            )
        with _settings_kept():
            function = _import(name)
        check_signature(kind, name, function)
        return function
    raise ConfigError(*unknown(kind, name, names(kind)))


def loaded(kind: str, name: str | Callable[..., Any]) -> Callable[..., Any] | None:
    """The function of a name, if it is imported already; imports no plug-in."""
    if callable(name):
        return name
    if (kind, name) in _registered:
        return _registered[kind, name]
    target = name
    for point in importlib.metadata.entry_points(group=f"fedskew.{kind}", name=name):
        target = point.value
    module, _, attributes = target.partition(":")
    found: Any = sys.modules.get(module) if attributes else None
    for attribute in attributes.split("."):
        found = getattr(found, attribute, None)
    return found if callable(found) else None


def _settings_kept() -> AbstractContextManager[object]:
    """Puts back what a module sets for the whole process while it is imported: that happens once in a process, so
    later runs in it would differ from the first."""
    from fedskew.components.process import restored  # lazy: PyTorch is not needed to look up what is built in

    return restored()


def _import(target: str) -> Callable[..., Any]:
    module_name, _, attribute = target.partition(":")
    try:
        function: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (Exception, SystemExit) as error:  # anything that a plug-in does wrong while it is imported
        raise ConfigError(f"cannot import {target!r}: {type(error).__name__}: {error}") from None
    found: Callable[..., Any] = function
    return found
