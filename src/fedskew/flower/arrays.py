"""A model as Flower sends it, arrays by name, and as fedskew computes with it, flat vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedskew.errors import ConfigError, unknown
from fedskew.protocols import ParameterLayout


@dataclass(frozen=True)
class ModelArrays:
    """Which arrays a model has, in their order.

    Attributes:
        like: each array's shape and type, by name.
        parameters: names of those that the defence works on.
        frozen: bool [P]; None if no parameter is frozen.
    """

    like: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
    parameters: tuple[str, ...]
    frozen: Tensor | None

    @property
    def buffers(self) -> tuple[str, ...]:
        """The names of the other arrays."""
        return tuple(name for name in self.like if name not in self.parameters)

    @property
    def layout(self) -> ParameterLayout:
        """Where each parameter lies in the vector [P]."""
        return ParameterLayout(self.parameters, tuple(self.like[name][0] for name in self.parameters))

    def vectors(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> tuple[Tensor, Tensor]:
        """The parameters, float32 [P], and the buffers, float64 [B], which whole numbers fit into.

        Raises:
            ValueError: these are other arrays than the model's; says which.
        """
        for name in arrays.keys() ^ self.like.keys():
            raise ValueError(f"{'it lacks' if name in self.like else 'the model lacks'} the array {name!r}")
        for name, array in arrays.items():
            shape, dtype = self.like[name]
            if (
                array.shape != shape
                or _is_float(array.dtype) != _is_float(dtype)
                or array.dtype.kind not in "fiub"
            ):
                raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, not {dtype} {list(shape)}")
        return _flat(arrays, self.parameters, np.float32), _flat(arrays, self.buffers, np.float64)

    def arrays(self, parameters: Tensor, buffers: Tensor) -> dict[str, np.ndarray[Any, Any]]:
        """The other way round, each array in its own type; whole numbers are rounded, half to even."""
        found: dict[str, np.ndarray[Any, Any]] = {}
        taken = {True: 0, False: 0}
        for name, (shape, dtype) in self.like.items():
            trained = name in self.parameters
            vector, begin = (parameters if trained else buffers).numpy(), taken[trained]
            taken[trained] = end = begin + int(np.prod(shape, dtype=np.int64))
            values = vector[begin:end].reshape(shape)
            found[name] = np.asarray(values if _is_float(dtype) else np.rint(values)).astype(dtype)
        return found


def arrays_of(
    arrays: Mapping[str, np.ndarray[Any, Any]], buffers: frozenset[str] | None, frozen: frozenset[str]
) -> ModelArrays:
    """What arrays a model has, from its first ones. Arrays of whole numbers or booleans are always buffers.

    Raises:
        ConfigError: an array that is neither numbers nor booleans, a name that is none of the model's, or arrays of
            whole numbers, which running averages usually come with, and nobody has said which arrays are buffers.
    """
    like = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    for name, (_, dtype) in like.items():
        if dtype.kind not in "fiub":
            raise ConfigError(f"array {name!r} of the model is {dtype}; expected real numbers or booleans")
        if buffers is None and not _is_float(dtype):
            raise ConfigError(
                f"array {name!r} of the model is {dtype}, which is no parameter, and the model may have running "
                "averages beside it, which are none either",
                "name these: buffers=[name for name, _ in model.named_buffers()]; buffers=[] if there are none",
                "buffers",
            )
    buffers = buffers or frozenset()
    trained = tuple(name for name, (_, dtype) in like.items() if _is_float(dtype) and name not in buffers)
    for field, names, valid in (("buffers", buffers, like), ("frozen", frozen, trained)):
        for name in sorted(names - set(valid)):
            raise ConfigError(*unknown(f"array in {field}:", name, valid), field)
    if not trained:
        raise ConfigError(
            "the model has no parameters: no array of floating-point numbers that is not a buffer"
        )
    still = [torch.full((int(np.prod(like[name][0], dtype=np.int64)),), name in frozen) for name in trained]
    return ModelArrays(like, trained, torch.cat(still) if frozen else None)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f"


def _flat(arrays: Mapping[str, np.ndarray[Any, Any]], names: Any, dtype: type) -> Tensor:
    with np.errstate(over="ignore"):  # what is too large is found out with what is not finite
        parts: list[np.ndarray[Any, Any]] = [
            np.asarray(arrays[name], dtype=dtype).reshape(-1) for name in names
        ]
    return torch.from_numpy(np.concatenate([np.zeros(0, dtype), *parts]))
