"""FedNova: updates of clients that take unequal numbers of steps, brought to the same progress (NeurIPS 2020)."""

from __future__ import annotations

from itertools import accumulate, repeat
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.portable import total
from fedskew.protocols import ClientUpdates, Rng, ServerView


def fednova(
    updates: ClientUpdates,
    view: ServerView,
    rng: Rng,
    *,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    weights: Literal["n_k", "equal"] = "n_k",
) -> ClientUpdates:
    """Updates as directions of one step, all times the same length, whatever number of steps each client took; [S, P].

    Formula: delta_i sum_j p_j a_j / a_i with a_i the steps that update i is worth

    Clients that train for the same number of epochs on shards of unequal size take unequal numbers of steps t_i, and
    an average pulls the model towards those that took more. Divided by a_i, all updates are directions of one step;
    times sum_j p_j a_j they have together the length that they would have had. So with ``fedavg`` and the weights
    "n_k" the round is the paper's, w + (sum_j p_j a_j) sum_i p_i delta_i / a_i. Where all clients report as many
    steps, the updates stay as they are, bit for bit.

    - a_i = t_i for SGD without momentum;
    - with momentum m, v = m v + 1 and a = a + v in each step, from 0: a_i = (t_i - m (1 - m^t_i) / (1 - m)) / (1 - m).
      This is for a momentum that starts from 0 in each round and has no dampening.
    - For Adam there is no such formula. Its steps have about the same length whatever the gradient, so t_i is what
      remains (``momentum = 0``), without the paper's guarantee. Neither is the pull of FedProx part of a_i here.

    Steps are what clients report: an update of a client that reports one step where the others take t becomes about
    t times as long, so an adversary who could lie about it would need no other attack. Put ``clip`` after it: updates
    that are clipped before may become longer again. A report below 1 counts as 1.

    Args:
        momentum: the momentum of the clients' SGD, else 0; another one is refused.
        weights: p_i, which set only the common length: "n_k", n_i / sum_j n_j, for ``fedavg``; "equal", 1 / S, for
            ``mean`` and rules that ignore n_k.

    Raises:
        ConfigError: the updates do not say how many steps were taken.

    Reference: Wang, Liu, Liang, Joshi & Poor, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization", NeurIPS 2020 (arXiv 2007.07481).

    The mean of 1 and 3 steps is 2: the first update is doubled, the second becomes 2/3 of itself.

    >>> from fedskew import aggregate
    >>> nova = {"name": "fednova", "weights": "equal"}
    >>> aggregate("mean", [[1.0, 0.0], [0.0, 6.0]], transforms=[nova], steps=[1, 3])
    tensor([1., 2.])
    """
    if updates.steps is None:
        raise ConfigError(
            "transform 'fednova' needs the number of steps that each client took (steps), and these updates lack it",
            "put it before transforms that make one update of several clients",
        )
    sizes = updates.num_examples.cpu().double()
    shares = sizes if weights == "n_k" else torch.ones_like(sizes)
    worth = _worth(updates.steps.tolist(), momentum)
    # Ratios first: between equal numbers of steps they are exactly 1, and so is their mean.
    factors = total(shares * (worth / worth[:, None])) / total(shares)
    if (factors == 1).all():
        return updates
    deltas = updates.deltas
    return updates.with_deltas(deltas * factors.to(deltas)[:, None])


def _worth(steps: list[int], momentum: float) -> Tensor:
    """a_i, float64 [S]. Summed up step by step: powers differ in their last digits between processors."""
    counted = [max(1, count) for count in steps]
    velocity = accumulate(repeat(1.0, max(counted)), lambda v, one: momentum * v + one)
    progress = list(accumulate(velocity))
    return torch.tensor([progress[count - 1] for count in counted], dtype=torch.float64)
