"""The clients' optimisers for several clients at once, with all that a step needs on the device.

The same formulas as ``fedskew.training.optimizers``; the number of steps is a tensor here, so the corrections of Adam's
moments are computed on the device in float64, where the other engines compute them on the host.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedskew.config import SGD, Adam
from fedskew.protocols import State
from fedskew.training.resident.batches import staged


class Moments:
    """What the optimisers of R clients keep, in tensors with fixed addresses.

    Args:
        rows, parameters: R and P.
    """

    def __init__(self, settings: Adam | SGD, rows: int, parameters: int, device: torch.device) -> None:
        self.settings = settings
        names = _names(settings)
        self.vectors = {name: torch.zeros(rows, parameters, device=device) for name in names}
        self.steps = torch.zeros(rows, dtype=torch.int64, device=device)

    def load(self, states: list[State]) -> None:
        """Takes over the clients' states, one per row; an empty one starts fresh."""
        counts = torch.tensor([_steps_of(state) for state in states])
        self.steps[: len(states)] = staged(counts, self.steps.device)
        for name, vector in self.vectors.items():
            for row, state in enumerate(states):
                if name in state:
                    vector[row].copy_(state[name], non_blocking=True)
                else:
                    vector[row].zero_()

    def save(self, before: Mapping[str, Tensor], row: int, steps: int) -> State:
        """A copy of one client's state after this many more steps; the host counts them itself, so nothing waits."""
        kept = {name: vector[row].clone() for name, vector in self.vectors.items()}
        if isinstance(self.settings, Adam):
            return {"step": torch.tensor(_steps_of(before) + steps), **kept}
        return kept

    def step(self, weights: Tensor, gradient: Tensor, lr: Tensor) -> None:
        """One step of the first len(weights) clients; changes weights [R, P] and gradient [R, P] in place.

        Args:
            lr: float64 scalar on the device.
        """
        rows = len(weights)
        self.steps[:rows] += 1
        vectors = {name: vector[:rows] for name, vector in self.vectors.items()}
        if isinstance(self.settings, SGD):
            _sgd(self.settings, lr, self.steps[:rows], vectors, weights, gradient)
        else:
            _adam(self.settings, lr, self.steps[:rows], vectors, weights, gradient)


def _names(settings: Adam | SGD) -> tuple[str, ...]:
    if isinstance(settings, SGD):
        return ("momentum_buffer",) if settings.momentum else ()
    return ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if settings.amsgrad else []))


def _steps_of(state: Mapping[str, Tensor]) -> int:
    """Steps that made a state; for SGD only whether there were any matters."""
    return int(state["step"]) if "step" in state else int("momentum_buffer" in state)


def _adam(
    settings: Adam, lr: Tensor, steps: Tensor, state: Mapping[str, Tensor], weights: Tensor, gradient: Tensor
) -> None:
    """Kingma & Ba 2014, Algorithm 1; AMSGrad: Reddi et al. 2018; decoupled decay: Loshchilov & Hutter 2017."""
    beta1, beta2 = settings.betas
    if settings.weight_decay:
        if settings.decoupled_weight_decay:
            weights.mul_((1 - lr * settings.weight_decay).float())
        else:
            gradient.add_(weights, alpha=settings.weight_decay)
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    if settings.amsgrad:
        square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
    count = steps.double()[:, None]
    rate = (lr / (1 - beta1**count)).float()
    root = (1 - beta2**count).sqrt().float()
    weights.sub_(mean / square.sqrt().div_(root).add_(settings.eps) * rate)


def _sgd(
    settings: SGD, lr: Tensor, steps: Tensor, state: Mapping[str, Tensor], weights: Tensor, gradient: Tensor
) -> None:
    """Momentum as in torch.optim.SGD: the first step puts the whole gradient into the buffer, without dampening."""
    if settings.weight_decay:
        gradient.add_(weights, alpha=settings.weight_decay)
    if settings.momentum:
        buffer = state["momentum_buffer"]
        share = torch.where(steps == 1, 1.0, 1 - settings.dampening)[:, None]
        buffer.mul_(settings.momentum).add_(gradient * share)
        gradient = gradient.add_(buffer, alpha=settings.momentum) if settings.nesterov else buffer
    weights.sub_(gradient * lr.float())
