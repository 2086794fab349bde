"""Adaptive server steps: FedAdam, FedYogi and FedAdagrad (Reddi et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.portable import root
from fedskew.protocols import ServerStep, State

Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


def adam(*, beta1: Decay = 0.9, beta2: Decay = 0.99, tau: Positive = 1e-3) -> ServerStep:
    """Adam on the server, [P].

    Formula: m_t / (sqrt(v_t) + tau);
    m_t = beta1 m_{t-1} + (1 - beta1) delta_t;
    v_t = beta2 v_{t-1} + (1 - beta2) delta_t^2

    m_0 = 0 and v_0 = tau^2. There is no bias correction, as in the paper.

    Whatever the length of delta, a step is about as long as the server's learning rate in every parameter. So
    ``server.learning_rate`` is to be far below its default of 1, which ruins the model: the paper's are mostly from
    0.01 to 0.1.

    Args:
        beta1, beta2: decay of the two moments, 0 <= b < 1.
        tau: how adaptive the step is: the smaller, the more; in the unit of a delta.

    Reference: Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2 (FedAdam).

    With beta1 = 0 and beta2 = 0, m = delta and v = delta^2: 3 / (3 + 1) and -1 / (1 + 1).

    >>> step = adam(beta1=0, beta2=0, tau=1.0)
    >>> step.apply(torch.tensor([3.0, -1.0]), step.init())[0]
    tensor([ 0.7500, -0.5000])
    """
    return _adaptive(lambda v, square: beta2 * v + (1 - beta2) * square, beta1, tau)


def yogi(*, beta1: Decay = 0.9, beta2: Decay = 0.99, tau: Positive = 1e-3) -> ServerStep:
    """As ``adam``, with another second moment, [P].

    Formula: m_t / (sqrt(v_t) + tau);
    v_t = v_{t-1} - (1 - beta2) delta_t^2 sign(v_{t-1} - delta_t^2)

    v changes by an amount that depends on delta alone, so that it forgets large deltas more slowly than Adam's.

    Reference: Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2 (FedYogi).

    With tau = 2, v_0 = 4 < 9: v = 4 + 0.5 * 9 = 8.5; and 4 > 1: v = 4 - 0.5 * 1 = 3.5.

    >>> step = yogi(beta1=0, beta2=0.5, tau=2.0)
    >>> step.apply(torch.tensor([3.0, -1.0]), step.init())[1]["second"]
    tensor([8.5000, 3.5000])
    """
    return _adaptive(lambda v, square: v - (1 - beta2) * square * (v - square).sign(), beta1, tau)


def adagrad(*, beta1: Decay = 0.0, tau: Positive = 1e-3) -> ServerStep:
    """As ``adam``, with a second moment that only grows, [P].

    Formula: m_t / (sqrt(v_t) + tau);
    v_t = v_(t-1) + delta_t^2

    v never shrinks, so the steps of a parameter become shorter and shorter, most where deltas have been large.

    Args:
        beta1: decay of the first moment; 0, plain Adagrad, has none.
        tau: as for ``adam``.

    Reference: Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2 (FedAdagrad).

    With tau = 4, v_0 = 16: v = 16 + 9 = 25 and v = 16 + 0 = 16; 3 / (5 + 4) and 0.

    >>> step = adagrad(tau=4.0)
    >>> step.apply(torch.tensor([3.0, 0.0]), step.init())[0]
    tensor([0.3333, 0.0000])
    """
    return _adaptive(lambda v, square: v + square, beta1, tau)


def _adaptive(second_moment: Callable[[Tensor, Tensor], Tensor], beta1: float, tau: float) -> ServerStep:
    """The step m / (sqrt(v) + tau); ``second_moment``: (v, delta^2) -> the next v."""

    def apply(delta: Tensor, state: State) -> tuple[Tensor, State]:
        m = state["first"] if "first" in state else torch.zeros_like(delta)
        v = state["second"] if "second" in state else torch.full_like(delta, tau**2)
        m, v = beta1 * m + (1 - beta1) * delta, second_moment(v, delta.square())
        return m / (root(v) + tau), {"first": m, "second": v}

    return ServerStep(apply)
