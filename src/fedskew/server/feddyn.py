"""The server's half of FedDyn (Acar et al. 2021). ``objectives/feddyn.py`` is the clients'."""

from __future__ import annotations

from torch import Tensor

from fedskew.protocols import ServerStep, ServerView, State


def feddyn() -> ServerStep:
    """FedDyn's step: the update, and the sum of all updates so far, [P].

    Formula: delta_t + s_t; s_t = s_(t-1) + (S/K) delta_t

    s_0 = 0, and S of all K clients sent an update in this round. In the paper the server keeps h, over a cohort P_t
    of S clients:

    h_t = h_{t-1} - alpha (1/K) sum over P_t of (w_k - w_t)
    w_{t+1} = (1/S) sum over P_t of w_k - h_t / alpha

    With delta_t = (1/S) sum over P_t of (w_k - w_t) the first line is h_t = h_{t-1} - alpha (S/K) delta_t. Put s = -h /
    alpha, and alpha cancels: s_t = s_{t-1} + (S/K) delta_t, w_{t+1} = w_t + delta_t + s_t. So the server needs no
    alpha. K counts clients without data as well. ``server.learning_rate`` must be 1 and ``defence.learning_rate``
    constant: a rate would act on s where it is applied, and not where it is summed.

    With clients that do not pull back (alpha = 0) this is server momentum that never decays, not FedAvg; hence it needs
    ``training.objective = "feddyn"``. delta_t is what the aggregator gives, so a robust rule protects s as well.

    Reference: Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021, Algorithm 1.

    Of 4 clients 2 take part, twice: s = 1/2, then 1/2 + 2/2.

    >>> import torch
    >>> from fedskew.protocols import ParameterLayout
    >>> step = feddyn()
    >>> view = ServerView(1, torch.zeros(1), ParameterLayout(("w",), ((1,),)), num_clients=4, num_updates=2)
    >>> first, state = step.apply(torch.tensor([1.0]), view, step.init())
    >>> first, step.apply(torch.tensor([2.0]), view, state)[0]
    (tensor([1.5000]), tensor([3.5000]))
    """

    def apply(delta: Tensor, view: ServerView, state: State) -> tuple[Tensor, State]:
        moved = delta * (view.num_updates / view.num_clients) + state.get("moved", 0.0)
        return delta + moved, {"moved": moved}

    return ServerStep(apply, viewed=True)
