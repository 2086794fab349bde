"""FedDyn: regularise clients so that their optima agree (Acar et al. 2021). ``server/feddyn.py`` is its other half."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.objectives.none import none
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State


def feddyn(*, alpha: Annotated[float, Field(ge=0)]) -> LocalObjective:
    """A penalty that changes from round to round until the optima of the clients' problems agree.

    Formula: minimise loss(w) - <h_k, w> + alpha/2 * ||w - w_start||^2;
    gradient <- gradient + alpha * (w - w_start) - h_k;
    h_k <- h_k - alpha * (w_k - w_start) after the last step, 0 at first

    h_k becomes the client's own gradient. Needs ``server.step = "feddyn"``, and uploads nothing. Where a client
    solves its problem, the new h_k is the gradient of its loss at w_k. Where it only takes some steps, h_k lags
    behind it: the fewer the steps and the smaller alpha, the longer, and the server's sum of movements overshoots
    meanwhile. The learning rate is in no formula, so Adam breaks none of them; but its steps have about the size lr
    however small the gradient is, so that no client comes to rest and h_k keeps a noise of about alpha lr.

    A fixed point is w* at which no client moves, so that h_k is its gradient there, and at which the server's sum of
    all movements is 0. With ``defence.aggregator = "mean"`` that sum is -1/alpha times the mean of all h_k: the
    gradients of all clients cancel, each counted once, whoever takes part when. With ``"fedavg"`` and all clients in
    every round they cancel weighted by n_k, which is also what the authors' code minimises: it averages equally and
    gives client k the weight alpha / (n_k / mean n). With ``"fedavg"`` and sampled cohorts of clients of different
    sizes a client's weight changes with its cohort, and w* is a stationary point of neither sum. A rule that leaves
    clients out breaks the balance for those it leaves out.

    Args:
        alpha: weight of the penalty; the authors use 0.01 among others. 0 is ``none``, bit for bit: nothing pulls
            and h_k stays 0. With the server's half this is still not FedAvg: see there.

    Reference: Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021, Algorithm 1.

    A pull of 0.5 * (3 - 1) towards the start weights, less h_k = 4:

    >>> gradient = torch.tensor([1.0])
    >>> view = LocalView(torch.tensor([3.0]), torch.tensor([1.0]), {}, {"pull": torch.tensor([4.0])}, lr=0.1)
    >>> feddyn(alpha=0.5).add(gradient, view)
    >>> gradient
    tensor([-2.])
    """
    if alpha == 0:
        return none()

    def init(parameters: int) -> State:
        return {"pull": torch.zeros(parameters)}

    def add(gradient: Tensor, view: LocalView) -> None:
        gradient.add_((view.weights - view.start).mul_(alpha).sub_(view.kept["pull"]))

    def finish(result: LocalResult) -> tuple[State, State]:
        return {"pull": result.kept["pull"] - alpha * result.delta}, {}

    return LocalObjective(add=add, init=init, finish=finish)
