"""The second intervention for average-weights-fashion-mnist, added when the first had shown that weights which change
in every round make the test loss jump. A file of its own, because a run is done again when its plug-in file changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedskew import ClientUpdates, ServerView


def rotated(updates: ClientUpdates, view: ServerView, *, adversary: int) -> Tensor:
    """The average weighted by n_k, each honest client with the weight of the next one, [P].

    ``adversary`` and errors: as for ``average_weights.by_size``.
    """
    n = updates.num_examples.cpu()
    if int((n == adversary).sum()) != 1:
        raise ValueError(f"exactly one client must hold {adversary} images")
    honest = torch.nonzero(n != adversary).flatten()
    weights = n.to(updates.deltas.dtype)
    weights[honest] = weights[honest.roll(-1)]
    return (weights / weights.sum()).to(updates.deltas.device) @ updates.deltas
