"""Checks of the records that factories make: their functions, and what these keep before the first round."""

from __future__ import annotations

import collections.abc
import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

from torch import Tensor, nn

from fedskew import protocols
from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError


def checked_parts(who: str, record: Any) -> None:
    """Sees that every function of a record of ``protocols`` is one, and every yes or no.

    Args:
        who: made it, for example ``"aggregator 'mine'"``.

    Raises:
        ConfigError: one is something else.
    """
    # The modules of the records name PyTorch's types without importing it.
    # A plug-in's subclass of one may name types that only its type checker imports; what it adds is its own affair.
    known = next(
        kind for kind in type(record).__mro__ if kind.__module__.startswith(f"{protocols.__name__}.")
    )
    hints = get_type_hints(known, localns={"Tensor": Tensor, "nn": nn})
    for field in dataclasses.fields(known):
        hint, value = hints[field.name], getattr(record, field.name)
        kinds = {get_origin(hint), *map(get_origin, get_args(hint))}
        optional = type(None) in get_args(hint)
        if collections.abc.Callable in kinds and not callable(value) and not (optional and value is None):
            raise ConfigError(
                f"{who}: {field.name} of its {type(record).__name__} is {described(value)}; expected a function"
            )
        if hint is bool and not isinstance(value, bool):
            raise ConfigError(
                f"{who}: {field.name} of its {type(record).__name__} is {described(value)}; expected True or False"
            )


def checked_server_data(name: str, images: object) -> int:
    """How many training images an aggregator asks the server to set aside: a whole number, at least 0.

    Args:
        name: of the aggregator.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(images, int) or isinstance(images, bool) or images < 0:
        raise ConfigError(
            f"aggregator {name!r}: server_data is {described(images)}; expected a whole number, at least 0"
        )
    return images
