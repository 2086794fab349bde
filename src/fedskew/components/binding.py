"""Components out of a config: names and options checked, defaults filled in, options bound to the function.

``complete`` works on names alone and imports nothing; ``resolve`` imports the component and checks each option's
value against its annotation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from fedskew.components.known import with_inner
from fedskew.components.options import check_options, own
from fedskew.components.registry import is_factory, is_registered, lookup, names
from fedskew.components.row import REQUIRED
from fedskew.components.seams import SEAMS
from fedskew.components.secure import check_seat
from fedskew.components.table import BUILT_IN
from fedskew.components.together import check_together
from fedskew.config import Component, Experiment
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError, nearest, unknown
from fedskew.wording import article

FIELDS: dict[str, str] = {
    "data": "dataset",
    "split": "split",
    "model": "model",
    "attack": "attack",
    "clients.selection": "selection",
    "clients.start": "start",
    "clients.personal": "personal",
    "clients.shift": "shift",
    "training.objective": "objective",
    "training.lr_schedule": "lr-schedule",
    "defence.transforms": "transform",
    "defence.aggregator": "aggregator",
    "defence.learning_rate": "learning-rate",
    "server.step": "server-step",
    "stopping": "stopping",
    "evaluation.metrics": "metric",
    "evaluation.client_metrics": "client-metric",
    "evaluation.observers": "observer",
    "privacy.attacks": "privacy-attack",
}
"""Which kind of component each field of an experiment holds."""


def complete(kind: str, component: Component) -> Component:
    """The component with its options checked by name, and the built-in defaults filled in; imports nothing.

    Raises:
        ConfigError: unknown name or option, or a required option is missing.
    """
    name = component.name
    if callable(name) or ":" in name or is_registered(kind, name):
        return component
    row = BUILT_IN[kind].get(name)
    if row is None:
        known = names(kind)
        if name in known:
            return component
        raise ConfigError(*unknown(kind, name, known))
    for option in component.options:
        if option not in row.options:
            declared = [f for f in type(component).model_fields if f != "name"]
            valid = [*row.options, *declared]
            close = nearest(option, valid)
            raise ConfigError(
                f"{kind} {name!r} has no option {option!r}; valid: {', '.join(valid) or '(none)'}",
                close and f"did you mean {close!r}?",
                field=option,
            )
    missing = [o for o, default in row.options.items() if default is REQUIRED and o not in component.options]
    if missing:
        raise ConfigError(
            f"{kind} {name!r} needs {', '.join(missing)}", f"{{name = {name!r}, {missing[0]} = ...}}"
        )
    defaults = {o: d for o, d in row.options.items() if o not in component.options and d is not None}
    return component.model_copy(update=defaults) if defaults else component


def resolve(kind: str, component: Component, where: str | None = None) -> Callable[..., Any]:
    """The component as a callable of its seam's arguments alone, its options checked and bound.

    One that is not built in is guarded (``components.outside``).

    Args:
        where: the field of the config, for errors.

    Raises:
        ConfigError: unknown name or option, a value of the wrong type or range, a wrong signature.
    """
    function: Callable[..., Any] = guarded(kind, component, _bound(kind, component, where)[0], where)
    return function


def built(kind: str, component: Component, where: str | None = None) -> Any:
    """The record that a component makes if it is a factory, guarded like its making, else as ``resolve``."""
    bound, factory = _bound(kind, component, where)
    made = guarded(kind, component, bound, where)
    return guarded(kind, component, made(), where) if factory else made


def bare(kind: str, component: Component) -> Any:
    """As ``built``, without the guard: for a check that looks itself at what a component does."""
    bound, factory = _bound(kind, component, None)
    return bound() if factory else bound


def _bound(kind: str, component: Component, where: str | None) -> tuple[Callable[..., Any], bool]:
    """A component's function with its options, and whether it is a factory."""
    component = complete(kind, component)
    function = lookup(kind, component.name)
    options = check_options(kind, component, function, where or kind)
    if is_factory(kind, component.name, function):
        return functools.partial(_build_record, kind, component.label, function, options), True
    return functools.partial(_called, function, options), False


def _called(function: Callable[..., Any], options: Mapping[str, Any], *given: Any, **named: Any) -> Any:
    return function(*given, **own(options), **named)


def guarded(kind: str, component: Component, made: Any, where: str | None) -> Any:
    """A function or a record of a component with the guard around it, unless the component is built in."""
    if component.label in BUILT_IN[kind]:
        return made
    from fedskew.components import outside  # lazy: PyTorch is not needed to complete a config

    guard = outside.guarded if callable(made) else outside.guarded_parts
    return guard(kind, component.label, made, where)


def build_attack(component: Component, info: Any, where: str = "attack") -> Any:
    """The attack of an experiment on a data set.

    Args:
        where: the field of the config, for errors.

    Raises:
        ConfigError: names the field; a target class or a trigger that does not fit the data, among others.
    """
    try:
        return guarded("attack", component, resolve("attack", component, where)(info), where)
    except ConfigError as error:
        error.field = error.field or where
        raise


def _build_record(kind: str, name: str, factory: Callable[..., Any], options: dict[str, Any]) -> Any:
    from fedskew import protocols  # lazy: PyTorch is not needed to complete a config
    from fedskew.components.returned import checked_parts  # lazy: as above

    record = factory(**own(options))
    expected = getattr(protocols, SEAMS[kind].factory or "")
    if not isinstance(record, expected):
        raise ConfigError(
            f"{kind} {name!r} is a factory and must return {article(expected.__name__)}, not {type(record).__name__}"
        )
    checked_parts(f"{kind} {name!r}", record)
    return record


def complete_experiment(experiment: Experiment) -> Experiment:
    """The experiment with every component's name and options checked, defaults filled in, and what its components
    need of each other; imports nothing.

    Raises:
        ConfigError: names the field.
    """
    plain: dict[str, Any] = {}
    for path, kind in FIELDS.items():
        section, _, leaf = path.partition(".")
        value = getattr(experiment, section)
        value = getattr(value, leaf) if leaf else value
        done = (
            tuple(_complete_at(f"{path}[{i}]", kind, c) for i, c in enumerate(value))
            if isinstance(value, tuple)
            else _complete_at(path, kind, value)
        )
        if leaf:
            plain[section] = plain.get(section, getattr(experiment, section)).model_copy(update={leaf: done})
        else:
            plain[section] = done
    completed = experiment.model_copy(update=plain)
    check_together(completed, components_of(completed))
    return completed


def check_experiment(experiment: Experiment) -> None:
    """Checks every option's value against its component's annotations, so that a study fails before it starts.

    Imports the components.

    Raises:
        ConfigError: names the field, its value and what was expected.
    """
    for path, kind, component in components_of(experiment):
        try:
            resolve(kind, component, path)
            if experiment.server.secure_aggregation and kind in ("observer", "privacy-attack"):
                label = f"{kind} {component.label!r}"
                check_seat(experiment, path, label, built(kind, component, path).seat)
        except ConfigError as error:
            error.field = error.field or path
            raise
    check_together(experiment, components_of(experiment))  # again: what plug-ins state is known only now


def components_of(experiment: Experiment) -> list[tuple[str, str, Component]]:
    """(field, kind, component) of every component of an experiment, and of those that their options hold."""
    found: list[tuple[str, str, Component]] = []
    for path, kind in FIELDS.items():
        value: Any = experiment
        for part in path.split("."):
            value = getattr(value, part)
        several = isinstance(value, tuple)
        for number, component in enumerate(value if several else (value,)):
            plain = Component.model_validate({"name": component.name, **component.options})
            found += with_inner(f"{path}[{number}]" if several else path, kind, plain)
    return found


def _complete_at(path: str, kind: str, component: Component) -> Component:
    try:
        done = complete(kind, component)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: {error.message}", error.hint, f"{path}.{error.field or ''}".rstrip(".")
        ) from None
    row = BUILT_IN[kind].get(done.label)
    for option, theirs in row.facts.components.items() if row else ():
        value, field = done.options.get(option), f"{path}.{option}"
        if value is None:
            continue
        if not isinstance(value, str | Mapping):
            raise ConfigError(f"{field} = {value!r}: must be a name or a table", field=field)
        plain = {"name": value} if isinstance(value, str) else value
        try:
            named = build(Component, plain, Origin(field))
        except ConfigError as error:
            raise ConfigError(error.message, error.hint, field) from None
        held = _complete_at(field, theirs, named)
        done = done.model_copy(update={option: held.model_dump(mode="json", exclude_none=True)})
    return done
