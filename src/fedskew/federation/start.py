"""From which weights the clients of a round start: the global ones, or older ones."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.protocols import Rng, StartView, StartWeights, State


def from_global(view: StartView, rng: Rng) -> None:
    """w_t for all clients.

    Formula: start_k = w_t
    """
    return


def stale(*, delay: Annotated[int, Field(ge=0)]) -> StartWeights:
    """Each client starts from global weights of its own age, drawn in each round.

    Formula: start_k = w_{t-d};
    d uniform in 0 .. delay

    In the first rounds d is at most the number of rounds done. The update is what the client's training
    changed; it is added to newer weights. delay = 0 is FedAvg.
    """

    def apply(view: StartView, state: State, rng: Rng) -> tuple[Tensor | None, State]:
        if not delay:
            return None, state
        now = view.global_weights[None]
        past = torch.cat([now, state["past"]])[: delay + 1] if "past" in state else now.clone()
        ages = torch.from_numpy(rng.integers(len(past), size=len(view.client_ids)))
        return past[ages.to(past.device)], {"past": past}

    return StartWeights(apply)
