"""The options of a component, checked against the annotations of the function that takes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

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
        if isinstance(value, str) and _core(taken.hints.get(option)) in (int, float, bool):
            raise ConfigError(
                f"{where}.{option} = {value!r}: must be a number, not text", field=f"{where}.{option}"
            )
    try:
        checked = taken.model.model_validate(component.options)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            hint = None
            if not SEAMS[kind].arguments:
                hint = (
                    f"{kind} components take options alone and return a record, {SEAMS[kind].factory}; give {path} "
                    "a value if it is such an option"
                )
            raise ConfigError(f"{where}: {component.label!r} needs {path}", hint, where) from None
        raise ConfigError(
            f"{where}.{path} = {first['input']!r}: {plain_words(first['msg'])}", field=f"{where}.{path}"
        ) from None
    return {n: getattr(checked, n) for n in (*taken.hints, *(checked.model_extra or {}))}


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
        "Options", __config__=ConfigDict(extra="allow", arbitrary_types_allowed=True), **fields
    )
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return _Taken({n: hint for n, (hint, _) in fields.items()}, open_ended, model)


# Each run of a study asks for the same functions twice, and to make a model takes as long as a small round's kernels.
_remembered = functools.lru_cache(maxsize=256)(_read)


def _core(hint: Any) -> Any:
    """The type inside ``Annotated``."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


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
