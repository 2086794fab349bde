"""A component of an experiment in a few words, for sentences of the page.

Of a built-in component its row says what it does and which defaults it has, of a plug-in the records of the runs
(``Evidence.own_words``), so that nothing is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedskew.components.known import fixed_facts
from fedskew.components.row import REQUIRED
from fedskew.components.table import BUILT_IN
from fedskew.config import Component


def component_words(
    kind: str, component: Component, own: Mapping[str, Mapping[str, Any]] = {}, every: bool = False
) -> str:
    """A component with its options, e.g. ``rlr (theta 4)``; of a plug-in with all that are known.

    Args:
        own: the name of a plug-in -> its ``summary`` and ``options`` (``components.own_words``).
        every: with those too that have their default.
    """
    row, held = BUILT_IN[kind].get(component.label), fixed_facts(kind, component).components
    defaults = {} if row is None or every else dict(row.options)
    options = {**({} if row else own.get(component.label, {}).get("options", {})), **component.options}
    ordered = (
        sorted(options, key=list(row.options).index)
        if row and options.keys() <= row.options.keys()
        else options
    )
    said = {
        n: options[n] for n in ordered if defaults.get(n, REQUIRED) != options[n] and options[n] is not None
    }
    words = ", ".join(
        f"{name.replace('_', ' ')} "
        + (
            component_words(held[name], Component.model_validate(value), own)
            if name in held
            else _value(value)
        )
        for name, value in said.items()
    )
    return component.label + (f" ({words})" if words else "")


def about(kind: str, component: Component, own: Mapping[str, Mapping[str, Any]] = {}) -> str:
    """What a component does, after a comma; "" where nothing says it."""
    row = BUILT_IN[kind].get(component.label)
    summary = row.summary if row else str(own.get(component.label, {}).get("summary", ""))
    return f", {summary}" if summary else ""


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
