"""The options of a component, checked against the annotations of the function that takes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from fedskew.components.registry import is_factory
from fedskew.components.seams import SEAMS
from fedskew.config import Component
from fedskew.config.build import plain_words
from fedskew.errors import ConfigError, nearest


def check_options(
    kind: str, component: Component, function: Callable[..., Any], where: str
) -> dict[str, Any]:
    """The options, converted as the function's annotations say.

    Raises:
        ConfigError: an option the function does not take, or a value that does not fit its annotation.
    """
    seam = () if is_factory(kind, component.name, function) else SEAMS[kind].arguments
    try:
        taken = _remembered(function, seam)
    except TypeError:  # a callable object that cannot be a key
        taken = _read(function, seam)
    for option in component.options:
        if option not in taken.hints and not taken.open_ended:
            close = nearest(option, taken.hints)
            raise ConfigError(
                f"{where}: {component.label!r} has no option {option!r}; "
                f"valid: {', '.join(taken.hints) or '(none)'}",
                close and f"did you mean {close!r}?",
                f"{where}.{option}",
            )
    for option, value in component.options.items():
        # pydantic would read "1" as 1, but the two have different identities.
        expected = _instead_of(value, taken.hints.get(option)) if isinstance(value, str) else None
        if expected:
            raise ConfigError(f"{where}.{option} = {value!r}: must be {expected}", field=f"{where}.{option}")
    try:
        checked = taken.model.model_validate(component.options)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            path = ".".join(map(str, first["loc"]))
            hint = None
            if not SEAMS[kind].arguments:
                hint = (
                    f"{kind} components take options alone and return a record, {SEAMS[kind].factory}; give {path} "
                    "a value if it is such an option"
                )
            raise ConfigError(f"{where}: {component.label!r} needs {path}", hint, where) from None
        path = _place(first["loc"], component.options)
        raise ConfigError(
            f"{where}.{path} = {first['input']!r}: {plain_words(first['msg'])}", field=f"{where}.{path}"
        ) from None
    return {n: getattr(checked, n) for n in (*taken.hints, *(checked.model_extra or {}))}


def own(value: Any) -> Any:
    """Options for one call: what the component does to a list or a table among them changes neither the config nor the
    next call."""
    if isinstance(value, Mapping):
        return {name: own(inside) for name, inside in value.items()}
    return [own(inside) for inside in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class _Taken:
    """The options that a function takes.

    Attributes:
        hints: their annotations by name; ``Any`` where there is none.
        open_ended: whether it takes any others too.
        model: checks and converts them.
    """

    hints: dict[str, Any]
    open_ended: bool
    model: type[BaseModel]


def _read(function: Callable[..., Any], seam: tuple[str, ...]) -> _Taken:
    """The options of a function: its arguments without those of its seam."""
    parameters, hints = inspect.signature(function).parameters, _hints(function)
    named = {n: p for n, p in parameters.items() if n not in seam and p.kind is not p.VAR_KEYWORD}
    fields: dict[str, Any] = {
        n: (hints.get(n, Any), ... if p.default is p.empty else p.default) for n, p in named.items()
    }
    model = create_model(
        "Options",
        __config__=ConfigDict(extra="allow", arbitrary_types_allowed=True, allow_inf_nan=False),
        **fields,
    )
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return _Taken({n: hint for n, (hint, _) in fields.items()}, open_ended, model)


# Each run of a study asks for the same functions twice, and to make a model takes as long as a small round's kernels.
_remembered = functools.lru_cache(maxsize=256)(_read)


def _instead_of(text: str, hint: Any) -> str | None:
    """What an option must be where text does not fit it but might be read as a number; None where it fits."""
    alternatives = {*_alternatives(hint)} - {NoneType}
    others = alternatives - {int, float, bool}
    words = [word for other in others if get_origin(other) is Literal for word in get_args(other)]
    if alternatives == others or text in words or any(get_origin(other) is not Literal for other in others):
        return None
    return " or ".join(["a number", *map(repr, words)]) + ("" if words else ", not text")


def _alternatives(hint: Any) -> Iterator[Any]:
    """The types that a value may have: those of a union, each as it is inside ``Annotated``."""
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for inside in get_args(hint):
            yield from _alternatives(inside)
    else:
        yield hint


def _place(path: Sequence[str | int], options: Mapping[str, Any]) -> str:
    """Where in the options a value is wrong, without what pydantic puts into a path for the alternatives of a union."""
    value: Any = options
    parts = []
    for part in path:
        with suppress(KeyError, IndexError, TypeError):
            value = value[part]
            parts.append(str(part))
    return ".".join(parts)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function's arguments; one that cannot be resolved (a name that is imported for type
    checkers only, say) is left out, and its value is not checked."""
    if isinstance(function, functools.partial):
        return _hints(function.func)
    target = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except Exception:
        space = getattr(target, "__globals__", {})
        found = {}
        for name, annotation in getattr(target, "__annotations__", {}).items():
            with suppress(Exception):
                found[name] = eval(annotation, space) if isinstance(annotation, str) else annotation
        return found
