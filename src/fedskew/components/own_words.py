"""What a plug-in says of itself, kept with the runs that used it, so that a report need not import it."""

from __future__ import annotations

import inspect
from typing import Any

from fedskew.components.binding import components_of
from fedskew.components.known import options_of
from fedskew.components.registry import loaded
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Experiment

LONGEST = 200
"""Letters of a summary."""


def own_words(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Of each component that is not fedskew's own and has been imported: its name -> ``summary``, the first sentence of
    its docstring, and ``options``, the defaults of its options."""
    found = {}
    for _, kind, component in components_of(experiment):
        function = loaded(kind, component.name)
        if component.label in BUILT_IN[kind] or function is None:
            continue
        defaults = options_of(kind, Component(name=component.name))
        found[component.label] = {
            "summary": _first_sentence(inspect.getdoc(function) or ""),
            "options": {name: _plain(value) for name, value in defaults.items()},
        }
    return found


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    sentence = paragraph.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= LONGEST else sentence[: LONGEST - 1] + "…"


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)
