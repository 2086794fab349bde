"""Majority vote: each parameter moves by a fixed step in the direction of most clients (ICLR 2019)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.protocols import ClientUpdates, ServerView


def sign_majority(updates: ClientUpdates, view: ServerView, *, step: Annotated[float, Field(gt=0)]) -> Tensor:
    """A fixed step in the direction in which most updates go, for each parameter, [P].

    Formula: step * sign(sum_i sign(delta_i))

    A parameter for which as many updates go up as down stays as it is; an entry of 0 votes for neither. Neither the
    lengths of the updates nor the numbers of examples matter. All clients vote on every parameter, so there are no
    weights of clients. f malicious updates change nothing where the others agree by more than f votes.

    Args:
        step: how far a parameter moves in a round, in the unit of a weight, before the server's learning rate. The
            updates do not give a scale, so there is no default: try about the mean of |delta| in the first rounds.

    Reference: Bernstein, Zhao, Azizzadenesheli & Anandkumar, "signSGD with Majority Vote is Communication Efficient
    and Fault Tolerant", ICLR 2019. There the votes are the signs of gradients; here they are those of updates.

    The votes are + + -, + - 0 and - - -.

    >>> from fedskew import aggregate
    >>> aggregate("sign-majority", [[1.0, 3.0, -2.0], [5.0, -1.0, -2.0], [-9.0, 0.0, -2.0]], step=0.5)
    tensor([ 0.5000,  0.0000, -0.5000])
    """
    votes = torch.zeros_like(updates.deltas[0])
    for delta in updates.deltas:  # row by row: no second [S, P] matrix
        votes += delta.sign()
    return step * votes.sign()
