"""What is known of a component of an experiment: its facts, with its options applied. Imports no component.

The facts of a built-in component are on its row. A plug-in's are what it states, once it has been imported; until
then, and where it states nothing, the defaults of ``Facts`` are assumed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from fedskew.components.facts import stated
from fedskew.components.registry import loaded
from fedskew.components.row import REQUIRED, Facts
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Defence, Experiment


def facts_of(kind: str, component: Component) -> Facts:
    """The facts of a component."""
    row = BUILT_IN[kind].get(component.label)
    if row is not None:
        return row.facts
    function = loaded(kind, component.name)
    return (None if function is None else stated(function)) or Facts()


def uses_what_is_sent(kind: str, component: Component) -> bool:
    """Whether the server may make use of what clients send through this component. Of a plug-in that is not imported
    yet nothing is known, so it is asked again later (``binding.check_experiment``)."""
    known = component.label in BUILT_IN[kind] or loaded(kind, component.name) is not None
    return known and not facts_of(kind, component).blind


def is_attacked(experiment: Experiment) -> bool:
    """Whether an experiment has adversaries, and an attack that does something."""
    return experiment.adversaries.count > 0 and not facts_of("attack", experiment.attack).harmless


def fixed_facts(kind: str, component: Component) -> Facts:
    """The facts of a component for the name of its run, which must not depend on whether a plug-in has been imported.
    For a plug-in it is assumed that an attack's option called ``trigger`` holds a trigger."""
    row = BUILT_IN[kind].get(component.label)
    if row is not None:
        return row.facts
    return Facts(components={"trigger": "trigger"} if kind == "attack" else {})


def options_of(kind: str, component: Component) -> dict[str, Any]:
    """A component's options with its defaults, as far as these are known."""
    row = BUILT_IN[kind].get(component.label)
    defaults: Mapping[str, Any] = {}
    if row is not None:
        defaults = {name: value for name, value in row.options.items() if value is not REQUIRED}
    elif (function := loaded(kind, component.name)) is not None:
        parameters = inspect.signature(function).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {**defaults, **component.options}


def looks_at(kind: str, component: Component) -> dict[str, str]:
    """Which losses a component looks at -> the option that says so; empty where no option does."""
    facts, options = facts_of(kind, component), options_of(kind, component)
    chosen = {str(options[name]): name for name in facts.monitors if options.get(name) is not None}
    return {**chosen, **dict.fromkeys(facts.looks_at, "")}


def fewest_updates(kind: str, component: Component) -> float:
    """The fewest updates that a component can work on; 1 where nothing is known or its options are malformed."""
    needed = facts_of(kind, component).clients
    try:
        return 1.0 if needed is None else float(needed(options_of(kind, component)))
    except (KeyError, TypeError, ValueError, OverflowError):
        return 1.0  # the check of the options says what is wrong with them


def updates_left(component: Component, updates: int) -> int:
    """How many updates a transform leaves of so many."""
    left = facts_of("transform", component).rows
    try:
        return updates if left is None else int(left(updates, options_of("transform", component)))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return updates


def with_updates(defence: Defence, updates: int) -> Iterator[tuple[str, str, Component, int]]:
    """(field, kind, component, updates that it gets) of the parts of a defence that so many updates arrive at."""
    # The learning-rate rule looks at the updates as they arrive.
    yield "defence.learning_rate", "learning-rate", defence.learning_rate, updates
    for number, transform in enumerate(defence.transforms):
        yield f"defence.transforms[{number}]", "transform", transform, updates
        updates = updates_left(transform, updates)
    yield "defence.aggregator", "aggregator", defence.aggregator, updates


def enough_updates(defence: Defence, updates: int) -> bool:
    """Whether transforms and aggregator can work on so many updates; learning-rate rules work on any number."""
    parts = with_updates(defence, updates)
    return all(
        kind == "learning-rate" or fewest_updates(kind, part) <= there for _, kind, part, there in parts
    )


def needs_several(defence: Defence) -> bool:
    """Whether a part of a defence is known to need more than one update."""
    return any(fewest_updates(kind, part) > 1 for _, kind, part, _ in with_updates(defence, 1))


def inner(kind: str, component: Component, facts: Facts) -> Iterator[tuple[str, str, Component]]:
    """(option, kind, component) of the components that a component's options hold."""
    for option, theirs in facts.components.items():
        value = component.options.get(option)
        if isinstance(value, str) or (isinstance(value, Mapping) and "name" in value):
            yield option, theirs, Component.model_validate(value)


def is_built_in(kind: str, component: Component) -> bool:
    """Whether a component, and each that its options hold, is fedskew's own; others may do anything."""
    return component.label in BUILT_IN[kind] and all(
        is_built_in(theirs, held) for _, theirs, held in inner(kind, component, facts_of(kind, component))
    )
