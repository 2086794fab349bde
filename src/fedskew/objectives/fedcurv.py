"""FedCurv: stay where the other clients' losses are flat (Shoham et al. 2019)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.objectives.none import none
from fedskew.portable import weighted_sum
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State


def fedcurv(*, strength: Annotated[float, Field(ge=0)]) -> LocalObjective:
    """Stay near the other clients' weights of the round before, most where their losses are curved.

    Formula: minimise loss(w) + lambda * sum over others j of (w - w_j)' F_j (w - w_j) with diagonal F_j;
    gradient <- gradient + 2 lambda (U w - V) with U = sum of F_j and V = sum of F_j w_j, elementwise

    The sums are over the clients of the round before, unweighted and without the client's own terms, as in the paper. A
    client uploads F_k and F_k w_k, the server sends both sums: three times FedAvg's traffic, and two more tensors that
    tell of a client's data and that an adversary can choose. In the first round there are none, and it is FedAvg's.

    F_k is estimated without another pass over the data. With g_t the raw gradient of step t, of the mean loss of a
    batch (before the penalty's own), T steps and B the mean size of a batch,

    F_k = B * (1/T) * sum over the round's steps of g_t^2, elementwise

    How that relates to the Fisher information: let m and v be mean and variance of the gradients of single images over
    the client's n images. The diagonal of the *empirical* Fisher matrix (with the labels of the data; Fisher's has
    labels drawn from the model) is v + m^2. A batch of B of them has E[B g^2] = v (n - B) / (n - 1) + B m^2. The two
    agree where B is small against n and m^2 against v, as m is near a client's optimum. Elsewhere B m^2 is too large,
    and a client whose images are a single batch gives n m^2 alone, which says nothing of v: take batches well below a
    client's images. It is also a mean along the way of the round, where the paper's is taken at w_k, at its end.

    lambda has no scale of its own: F grows with the square of the gradients, U with the clients of a round. Plain SGD
    diverges where 2 lr lambda U > 2 in an entry. Adam rescales the penalty's gradient along with the loss's.

    Args:
        strength: lambda (a word that Python does not let an option have), >= 0; 0 is FedAvg, bit for bit.

    Reference: Shoham et al., "Overcoming Forgetting in Federated Learning on Non-IID Data", NeurIPS workshop on
    federated learning 2019 (arXiv 1910.07796).

    Another client with F = 3 and w = 2, so V = 6, at w = 1: 0 + 2 * 0.5 * (3 * 1 - 6).

    >>> gradient = torch.tensor([0.0])
    >>> sent = {"fisher": torch.tensor([3.0]), "anchored": torch.tensor([6.0]), "round": torch.tensor([1.0])}
    >>> view = LocalView(torch.tensor([1.0]), torch.zeros(1), sent, fedcurv(strength=0.5).init(1), lr=0.1)
    >>> fedcurv(strength=0.5).add(gradient, view)
    >>> gradient
    tensor([-3.])
    """
    if strength == 0:
        return none()

    def init(parameters: int) -> State:
        names = ("squares", "fisher", "anchored")
        return {**{name: torch.zeros(parameters) for name in names}, "round": torch.zeros(1)}

    def add(gradient: Tensor, view: LocalView) -> None:
        kept, sent = view.kept, view.sent
        kept["squares"].add_(gradient * gradient)
        if not sent:
            return
        # Only what the client uploaded in the last round is in the sums.
        own = kept["round"] == sent["round"]
        others = sent["fisher"] - own * kept["fisher"]
        anchors = sent["anchored"] - own * kept["anchored"]
        gradient.add_((others * view.weights).sub_(anchors).mul_(2 * strength))

    def finish(result: LocalResult) -> tuple[State, State]:
        squares = result.kept["squares"]
        fisher = squares * (result.visits / result.steps**2)
        uploads = {"fisher": fisher, "anchored": fisher * (result.start + result.delta)}
        now = result.sent.get("round", torch.zeros(1)) + 1
        return {**uploads, "squares": torch.zeros_like(squares), "round": now}, uploads

    def collect(state: State, uploads: State, clients: int) -> State:
        sums = {
            name: weighted_sum(torch.ones(len(rows)), rows).to(rows.dtype) for name, rows in uploads.items()
        }
        return {**sums, "round": state.get("round", torch.zeros(1)) + 1}

    return LocalObjective(add=add, init=init, finish=finish, send=dict, collect=collect)
