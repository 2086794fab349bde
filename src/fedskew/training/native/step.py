"""The clients' optimisers as one compiled pass over a whole model (``step.h``): torch.optim's results up to rounding.

The state is that of ``fedskew.training.optimizers``, so a client may be trained by one and then by the other. A step of
PyTorch is up to ten operations, some of which round differently on different processors; these do not.
"""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor

from fedskew.config import SGD, Adam
from fedskew.protocols import State
from fedskew.training.native import compiler
from fedskew.training.optimizers import Step

_POINTER, _I64, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


def load() -> ctypes.CDLL:
    """The compiled steps.

    Raises:
        Unsupported: see ``compiler.load``.
    """
    library = compiler.load('#include "step.h"\n', "-ffp-contract=off")
    library.fs_adam.argtypes, library.fs_adam.restype = [_I64, *[_POINTER] * 5, *[_FLOAT] * 9], None
    library.fs_sgd.argtypes = [_I64, *[_POINTER] * 3, *[_FLOAT] * 4, ctypes.c_int]
    library.fs_sgd.restype = None
    return library


def make_step(library: ctypes.CDLL, settings: Adam | SGD, lr: float, state: State) -> Step:
    """See ``optimizers.make_step``.

    Args:
        library: what ``load`` gave.

    Raises:
        ValueError: by the step, for vectors that are not float32 [P], contiguous and on the CPU.
    """
    if isinstance(settings, SGD):
        return _sgd(library, settings, lr, state)
    return _adam(library, settings, lr, state)


def _adam(library: ctypes.CDLL, settings: Adam, lr: float, state: State) -> Step:
    address = _Addresses()
    (beta1, beta2), decay = settings.betas, settings.weight_decay
    decoupled = settings.decoupled_weight_decay
    names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if settings.amsgrad else [])]
    factors = (
        *(1 - lr * decay if decoupled else 1.0, 0.0 if decoupled else decay),
        *(beta1, 1 - beta1, beta2, 1 - beta2),
    )

    def step(weights: Tensor, gradient: Tensor) -> None:
        if not state:
            state.update({"step": torch.tensor(0)}, **{name: torch.zeros_like(weights) for name in names})
        state["step"] += 1
        count = int(state["step"])
        size = weights.numel()
        library.fs_adam(
            size,
            address(weights, size),
            address(gradient, size),
            address(state["exp_avg"], size),
            address(state["exp_avg_sq"], size),
            address(state["max_exp_avg_sq"], size) if settings.amsgrad else None,
            *factors,
            math.sqrt(1 - beta2**count),
            settings.eps,
            lr / (1 - beta1**count),
        )

    return step


def _sgd(library: ctypes.CDLL, settings: SGD, lr: float, state: State) -> Step:
    address, run = _Addresses(), library.fs_sgd
    momentum, dampened, nesterov = settings.momentum, 1 - settings.dampening, settings.nesterov
    decay = settings.weight_decay

    def step(weights: Tensor, gradient: Tensor) -> None:
        size, velocity, rest = weights.numel(), None, dampened
        if momentum:
            if "momentum_buffer" not in state:  # the first gradient is not dampened
                state["momentum_buffer"], rest = torch.zeros_like(weights), 1.0
            velocity = address(state["momentum_buffer"], size)
        run(
            size,
            address(weights, size),
            address(gradient, size),
            velocity,
            decay,
            momentum,
            rest,
            lr,
            nesterov,
        )

    return step


class _Addresses:
    """Where vectors lie that a compiled pass may read and write. Each is checked once, not in every step."""

    def __init__(self) -> None:
        # It holds the tensors, so that no other one gets the id of one of them.
        self._known: dict[tuple[int, int], tuple[Tensor, int]] = {}

    def __call__(self, vector: Tensor, size: int) -> int:
        key = id(vector), size
        if key not in self._known:
            fits = vector.dtype == torch.float32 and vector.shape == (size,) and vector.is_contiguous()
            if not fits or vector.device.type != "cpu":
                raise ValueError(
                    f"a step needs contiguous float32 CPU vectors of length {size}, not {vector.dtype} "
                    f"{list(vector.shape)} on {vector.device}"
                )
            self._known[key] = vector, vector.data_ptr()
        return self._known[key][1]
