"""SCAFFOLD: correct a client's drift by the difference of two mean gradients (Karimireddy et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew.portable import weighted_sum
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State


def scaffold() -> LocalObjective:
    """Go where the gradients of all clients point, not where the client's own do.

    Formula: gradient <- gradient + c - c_k;
    c_k+ = the mean of the client's raw gradients of the round, those before this correction;
    c <- c + (1/K) sum over the cohort of (c_k+ - c_k)

    The client uploads c_k+ - c_k and keeps c_k+.

    All control variates are 0 at first, so the first round is FedAvg's bit for bit. K counts all clients, in the cohort
    or not: c is then the mean of all c_k, of those who have not taken part yet as well. The paper's global step size
    is ``server.learning_rate``.

    The paper's option II is c_k+ = c_k - c + (w_t - w_k) / (T lr). For plain SGD, w_t - w_k = lr * sum of (raw gradient
    + c - c_k), which makes this the mean raw gradient, and that is what is computed here. With momentum, weight decay
    or Adam, w_t - w_k is not lr times a sum of gradients: divided by T lr it has another size than the gradients that
    it is meant to correct. With Adam the correction itself enters the moments and is rescaled with them, so nothing
    guarantees that the corrected steps of all clients agree in the mean.

    What a client uploads is an open channel: c steers every later client, whatever the aggregator does with the
    deltas (Han et al., "Mind the Cost of Scaffold!", ICCV 2025; ``attacks/upload_scaling.py``). What comes with an
    update that is rejected counts on neither side.

    c is the mean of all c_k whatever the aggregator weighs clients by, so it corrects them towards the minimum of the
    plain mean of their losses, also under ``fedavg``, which without SCAFFOLD goes towards that of the mean weighted by
    n_k.

    Reference: Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML 2020,
    Algorithm 1, option II.

    A gradient of 5 where the client's own mean was 4 and everybody's is 1 becomes 5 + 1 - 4:

    >>> gradient, kept = torch.tensor([5.0]), {"control": torch.tensor([4.0]), "sum": torch.tensor([0.0])}
    >>> view = LocalView(torch.zeros(1), torch.zeros(1), {"control": torch.tensor([1.0])}, kept, lr=0.1)
    >>> scaffold().add(gradient, view)
    >>> gradient, kept["sum"]
    (tensor([2.]), tensor([5.]))
    """

    def init(parameters: int) -> State:
        return {"control": torch.zeros(parameters), "sum": torch.zeros(parameters)}

    def add(gradient: Tensor, view: LocalView) -> None:
        view.kept["sum"].add_(gradient)
        gradient.add_(view.sent.get("control", 0.0) - view.kept["control"])

    def finish(result: LocalResult) -> tuple[State, State]:
        mean = result.kept["sum"] / result.steps
        return {"control": mean, "sum": torch.zeros_like(mean)}, {"control": mean - result.kept["control"]}

    def collect(state: State, uploads: State, clients: int) -> State:
        changes = uploads["control"]
        change = weighted_sum(torch.ones(len(changes)), changes) / clients
        return {"control": (change + state.get("control", 0.0)).to(changes.dtype)}

    return LocalObjective(add=add, init=init, finish=finish, send=dict, collect=collect)
