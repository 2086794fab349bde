"""An intervention for average-weights-fashion-mnist: other weights for the honest clients, the adversary's as it is.

It has to know which client the adversary is, so it is no defence: it takes the one that holds exactly ``adversary``
images.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedskew import ClientUpdates, ServerView


def by_size(
    updates: ClientUpdates, view: ServerView, *, order: Literal["shuffled", "reversed"], adversary: int
) -> Tensor:
    """The average weighted by n_k, the weights of the honest clients permuted among them, [P].

    ``shuffled``: anew in each round, so that the weights are as unequal as FedAvg's in every round and equal in the
    mean over rounds. ``reversed``: the client with the most images gets the weight of that with the fewest, and so on.

    Raises:
        ValueError: not exactly one client holds ``adversary`` images.
    """
    n = updates.num_examples.cpu()
    if int((n == adversary).sum()) != 1:
        raise ValueError(f"exactly one client must hold {adversary} images")
    honest = torch.nonzero(n != adversary).flatten()
    honest = honest[torch.argsort(n[honest], stable=True)]
    other = (
        honest.flip(0) if order == "reversed" else honest[torch.from_numpy(view.rng.permutation(len(honest)))]
    )
    weights = n.to(updates.deltas.dtype)
    weights[honest] = weights[other]
    return (weights / weights.sum()).to(updates.deltas.device) @ updates.deltas
