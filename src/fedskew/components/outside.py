"""The guard around every call of a component that is not fedskew's own.

Whatever goes wrong inside one becomes one sentence that names it. One that draws from a global random generator is
refused, since a run with it could not be repeated, and so is one that leaves the process with other settings than it
found, or changes records that others are given too. Built-in components are not guarded: tests hold them to the same.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch

from fedskew.components.process import restored
from fedskew.components.randomness import global_states, used
from fedskew.components.returned.guard import same_records
from fedskew.components.seams import SEAMS
from fedskew.errors import ConfigError, FedskewError, place_of

R = TypeVar("R")

ASKED_FOR = ("apply", "divide", "observe")
"""Parts of records that are what the component itself is called for, so that an error need not name them."""

MOST = 500
"""Letters of an error's text that are shown."""

IN_EVERY_STEP = ("add", "project")
"""Parts that are called in every step of training, where comparing random states would take longer than they do. The
training of a whole round is watched instead (``federation.watched``)."""


def guarded(
    kind: str, name: str, call: Callable[..., Any], where: str | None = None, part: str = ""
) -> Callable[..., Any]:
    """A component's function, or a part of its record, with the guard around it.

    Args:
        name: the component's label.
        where: the field of the config, for errors.
        part: the part's name; empty for the function itself.

    Returns:
        A function with the same arguments and result. It raises ``ConfigError`` where the component raises anything
        but a ``FedskewError``, used a global generator that fedskew has not seeded for it, left another setting of the
        process, or changed what it was given where its seam shares that.
    """
    who = f"{kind} {name!r}" + (f": {part}" if part and part not in ASKED_FOR else "")
    seam = SEAMS[kind]

    @functools.wraps(call, assigned=())
    def asked(*given: Any, **named: Any) -> Any:
        watch = told(who, where) if part in IN_EVERY_STEP else repeatable(who, seam.rng, where, seam.seeded)
        with watch, same_records(who, given) if seam.shared else nullcontext():
            return call(*given, **named)

    return asked


def guarded_parts(kind: str, name: str, record: R, where: str | None = None) -> R:
    """A record of ``protocols`` whose functions, those of records inside it too, have the guard around them.

    What is there by default stays as it is: it is fedskew's own, and by it the round loop knows what need not be asked.
    """
    if not dataclasses.is_dataclass(record):  # whoever looks at what was made says so
        return record
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = guarded_parts(kind, name, value, where)
            if inner is not value:
                changed[field.name] = inner
        elif callable(value) and value is not field.default:
            changed[field.name] = guarded(kind, name, value, where, field.name)
    return dataclasses.replace(record, **changed) if changed else record  # type: ignore[type-var]


@contextmanager
def told(who: str, where: str | None = None) -> Iterator[None]:
    """Turns an error inside the block into one sentence: which component, what, and where in its source.

    Raises:
        ConfigError: instead of any other error but Ctrl-C, and of what would end the process. A ``FedskewError`` says
            what it has to say and passes, and so does a lack of memory, which is no fault of the component.
    """
    try:
        yield
    except (FedskewError, MemoryError, torch.OutOfMemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:
        place = place_of(error, own=False)
        if isinstance(error, GeneratorExit) and not place:  # this block itself is closed, which is no fault
            raise
        reason = next(iter(str(error).splitlines()), "")
        if len(reason) > MOST:
            reason = reason[:MOST] + "..."
        what = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        raise ConfigError(
            f"{who} failed with {what}" + (f" ({place})" if place else ""), field=where
        ) from error


@contextmanager
def repeatable(who: str, rng: str, where: str | None = None, seeded: tuple[str, ...] = ()) -> Iterator[None]:
    """As ``told``; refuses as well what uses a global random generator inside the block, or leaves another setting of
    the process, which is put back.

    Args:
        rng: what to draw from instead, for the hint.
        seeded: libraries whose generator is seeded around the block, and may be used.
    """
    before = global_states()
    with restored() as settings, told(who, where):
        yield
    if settings:
        raise ConfigError(
            f"{who} changed {' and '.join(settings)}, on which what is computed after it depends",
            "let it put back what it sets, in a `with` block or in `try: ... finally: ...`",
            where,
        )
    if libraries := used(before, seeded):
        raise ConfigError(
            f"{who} used the global random generator of {' and '.join(libraries)}, so that no run with it can be "
            "repeated",
            f"draw from {rng}",
            where,
        )
