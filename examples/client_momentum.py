"""Your own remedy: client-level momentum (FedCM, Xu et al. 2021), with a state at the clients and on the server.

`fedskew run experiment.toml --allow-plugin client_momentum --set training.objective=client_momentum:client_momentum`
"""

import torch
from torch import Tensor

from fedskew.protocols import LocalObjective, LocalResult, LocalView, State


def client_momentum(*, own: float = 0.5) -> LocalObjective:
    """Each step is `own` times the client's gradient, and the rest the mean step of the round before."""

    def add(gradient: Tensor, view: LocalView) -> None:
        if view.sent:  # in the first round there is no round before
            gradient.lerp_(view.sent["mean"], 1 - own)
        view.kept["sum"] += gradient

    def finish(result: LocalResult) -> tuple[State, State]:
        return {"sum": 0 * result.kept["sum"]}, {"mean": result.kept["sum"] / result.steps}

    return LocalObjective(
        add=add,
        init=lambda parameters: {"sum": torch.zeros(parameters)},
        finish=finish,
        send=dict,
        collect=lambda state, uploads, clients: {"mean": uploads["mean"].mean(dim=0)},
    )
