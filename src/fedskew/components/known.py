"""What is known of a component of an experiment: its facts, with its options applied. Imports no component.

The facts of a built-in component are on its row. A plug-in's are what it states, once it has been imported; until
then, and where it states nothing, the defaults of ``Facts`` are assumed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from fedskew.components.facts import stated
from fedskew.components.registry import loaded
from fedskew.components.row import ANY_VALUES, REQUIRED, Facts
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Defence, Experiment

if TYPE_CHECKING:  # what is known is known without NumPy
    from fedskew.protocols import Values


def facts_of(kind: str, component: Component) -> Facts:
    """The facts of a component. What a wrapper does not change, it has from what it wraps (``Facts.wraps``)."""
    row = BUILT_IN[kind].get(component.label)
    if row is not None:
        facts = row.facts
    else:
        function = loaded(kind, component.name)
        facts = (None if function is None else stated(function)) or Facts()
    held = wrapped(kind, component, facts)
    return facts if held is None else replace(facts, relabels=facts_of(kind, held).relabels)


def innermost(kind: str, component: Component) -> Component:
    """What remains of a component without its wrappers, for the name of its run: see ``fixed_facts``."""
    held = wrapped(kind, component, fixed_facts(kind, component))
    return component if held is None else innermost(kind, held)


def wrapped(kind: str, component: Component, facts: Facts) -> Component | None:
    """What a component with these facts is wrapped around; None for one that is no wrapper."""
    held = inner(kind, component, facts)
    return next((theirs for option, _, theirs in held if option == facts.wraps), None)


def uses_what_is_sent(kind: str, component: Component) -> bool:
    """Whether the server may make use of what clients send through this component. Of a plug-in that is not imported
    yet nothing is known, so it is asked again later (``binding.check_experiment``)."""
    known = component.label in BUILT_IN[kind] or loaded(kind, component.name) is not None
    return known and not facts_of(kind, component).blind


def works_on_sums(kind: str, component: Component) -> bool:
    """Whether the server needs only sums of what clients send for a component, or nothing of it (``Facts.sums``). A
    plug-in that is not imported yet is asked again later (``binding.check_experiment``)."""
    if component.label not in BUILT_IN[kind] and loaded(kind, component.name) is None:
        return True
    facts = facts_of(kind, component)
    try:
        return facts.blind or (facts.sums is not None and bool(facts.sums(options_of(kind, component))))
    except (KeyError, TypeError, ValueError):
        return True  # the check of the options says what is wrong with them


def values_of(data: Component) -> tuple[Values, ...]:
    """What a data set's samples may be made of, as far as this is known before it is read: its option ``values`` says
    it where it has one, else its facts."""
    said = options_of("dataset", data).get("values")
    known = tuple(one for one in ANY_VALUES if one == said)
    return known or facts_of("dataset", data).values


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
    return _number(kind, component, facts_of(kind, component).clients, 1.0)


def most_updates(kind: str, component: Component) -> float:
    """The most updates that a component can work on; infinite where nothing is known or its options are malformed."""
    return _number(kind, component, facts_of(kind, component).most, inf)


def _number(
    kind: str, component: Component, fact: Callable[[Mapping[str, Any]], float] | None, usual: float
) -> float:
    try:
        return usual if fact is None else float(fact(options_of(kind, component)))
    except (KeyError, TypeError, ValueError, OverflowError):
        return usual  # the check of the options says what is wrong with them


def lacking(kind: str, component: Component, per_round: int, adversaries: int, clients: int) -> str:
    """Why an attack cannot work or does nothing with so many clients in a round, and adversaries among so many clients
    in the run; "" where it can, where nothing is known or its options are malformed."""
    facts = facts_of(kind, component)
    try:
        options = options_of(kind, component)
        if facts.wraps is not None:
            options["threat_model"] = threat_model(component)
        return "" if facts.lacking is None else facts.lacking(options, per_round, adversaries, clients)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return ""  # the check of the options says what is wrong with them


KNOWLEDGE = ("own-updates", "all-updates", "knows-the-defence")
"""The usual threat models (``protocols.THREAT_MODELS``), each of which knows more than the one before."""


def threat_model(attack: Component) -> str:
    """The usual threat model under which an attack is carried out: its own or that of what it is wrapped around,
    whichever knows more.

    A plug-in's is known only once it is made, and is taken to be the one that knows most until then.

    Raises:
        ValueError: an option ``threat_model`` is none of them.
    """
    facts = facts_of("attack", attack)
    held = wrapped("attack", attack, facts)
    if held is None and attack.label not in BUILT_IN["attack"]:
        return KNOWLEDGE[-1]
    own = options_of("attack", attack).get("threat_model") or facts.threat_model
    return max((own, threat_model(held)) if held is not None else (own,), key=KNOWLEDGE.index)


def norm_bound(defence: Defence) -> float | None:
    """The least L2 norm to which a defence clips, whatever it does before or after; None where it clips to no number
    that is known before a round."""
    parts = [("transform", one) for one in defence.transforms] + [("aggregator", defence.aggregator)]
    bounds = [
        options_of(kind, part).get(option)
        for kind, part in parts
        if (option := facts_of(kind, part).norm_bound) is not None
    ]
    return min((float(bound) for bound in bounds if isinstance(bound, int | float)), default=None)


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


def merges_clients(component: Component) -> bool:
    """Whether a transform makes one update of several clients."""
    merging = facts_of("transform", component).merges
    try:
        return merging is not None and bool(merging(options_of("transform", component)))
    except (KeyError, TypeError, ValueError):
        return False  # the check of the options says what is wrong with them


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


def with_inner(path: str, kind: str, component: Component) -> Iterator[tuple[str, str, Component]]:
    """(field, kind, component) of a component and of those that its options hold, theirs included."""
    yield path, kind, component
    for option, theirs, held in inner(kind, component, facts_of(kind, component)):
        yield from with_inner(f"{path}.{option}", theirs, held)


def is_built_in(kind: str, component: Component) -> bool:
    """Whether a component, and each that its options hold, is fedskew's own; others may do anything."""
    return component.label in BUILT_IN[kind] and all(
        is_built_in(theirs, held) for _, theirs, held in inner(kind, component, facts_of(kind, component))
    )
