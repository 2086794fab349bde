"""The clients' optimisers over a whole model as one vector: torch.optim's arithmetic, operation for operation.

Not torch.optim itself, because making the first of its optimisers imports a compiler and sympy (seconds in every
worker process) and each of its steps costs more than a small model's gradient. The tests compare every setting
with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fedskew.config import SGD, Adam
from fedskew.protocols import State

Step = Callable[[Tensor, Tensor], None]
"""(weights [P], gradient [P]) -> None; changes both in place."""


def make_step(settings: Adam | SGD, lr: float, state: State) -> Step:
    """The step of one client's optimiser.

    Args:
        lr: the learning rate, instead of the configured one.
        state: the client's, updated in place by each step; empty at the start.
    """
    if isinstance(settings, SGD):
        return lambda weights, gradient: _sgd(settings, lr, state, weights, gradient)
    return lambda weights, gradient: _adam(settings, lr, state, weights, gradient)


def _adam(settings: Adam, lr: float, state: State, weights: Tensor, gradient: Tensor) -> None:
    """Kingma & Ba 2014, Algorithm 1; AMSGrad: Reddi et al. 2018; decoupled decay: Loshchilov & Hutter 2017."""
    if not state:
        state["step"] = torch.tensor(0)
        state["exp_avg"] = torch.zeros_like(weights)
        state["exp_avg_sq"] = torch.zeros_like(weights)
        if settings.amsgrad:
            state["max_exp_avg_sq"] = torch.zeros_like(weights)
    beta1, beta2 = settings.betas
    state["step"] += 1
    step = int(state["step"])
    if settings.weight_decay:
        if settings.decoupled_weight_decay:
            weights.mul_(1 - lr * settings.weight_decay)
        else:
            gradient.add_(weights, alpha=settings.weight_decay)
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    if settings.amsgrad:
        square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
    denominator = square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(settings.eps)
    weights.addcdiv_(mean, denominator, value=-lr / (1 - beta1**step))


def _sgd(settings: SGD, lr: float, state: State, weights: Tensor, gradient: Tensor) -> None:
    """Momentum as in torch.optim.SGD: the buffer holds a sum of gradients without the learning rate."""
    if settings.weight_decay:
        gradient.add_(weights, alpha=settings.weight_decay)
    if settings.momentum:
        if "momentum_buffer" in state:
            state["momentum_buffer"].mul_(settings.momentum).add_(gradient, alpha=1 - settings.dampening)
        else:
            state["momentum_buffer"] = gradient.clone()
        buffer = state["momentum_buffer"]
        gradient = gradient.add_(buffer, alpha=settings.momentum) if settings.nesterov else buffer
    weights.add_(gradient, alpha=-lr)
