"""SparseFed: only the largest entries of the aggregate are applied, the rest is kept for later (AISTATS 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.portable import row_mean
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State
from fedskew.rounding import whole


def sparse_fed(*, share: Annotated[float, Field(gt=0, le=1)]) -> Aggregator:
    """The k entries of e + mean_i delta_i that are largest in magnitude, and 0 elsewhere, [P].

    Formula: u = e + mean_i delta_i, with e what earlier rounds left out;
    the k = share * P largest entries of u in magnitude;
    e <- the others

    e is what earlier rounds did not apply: what this one does not is the next round's e; it is 0 in the first round.
    Of equally large entries, the first ones are applied. The numbers of examples are ignored. The mean has the same
    weights as ``mean``, so there are none in the trace.

    The paper clips each update first, and without that one large update decides which entries are applied: put ``clip``
    into the transforms.

    Args:
        share: of the parameters, k = share * P rounded down, at least one; 1 is the mean.

    Reference: Panda, Mahloujifar, Bhagoji, Chakraborty & Mittal, "SparseFed: Mitigating Model Poisoning Attacks in
    Federated Learning with Sparsification", AISTATS 2022.

    The mean is (1, -3, 2, 0); half of four entries are two.

    >>> from fedskew import aggregate
    >>> aggregate("sparse-fed", [[2.0, -3.0, 2.0, 1.0], [0.0, -3.0, 2.0, -1.0]], share=0.5)
    tensor([ 0., -3.,  2.,  0.])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        pending = row_mean(updates.deltas)
        if "error" in state:
            pending += state["error"]
        delta = torch.where(_largest(pending.abs(), max(1, whole(share * len(pending)))), pending, 0.0)
        return delta, AggregationTrace(), {"error": pending - delta}

    return Aggregator(apply)


def _largest(sizes: Tensor, count: int) -> Tensor:
    """Which entries of [P] are the ``count`` largest, the first ones of equal ones, bool [P]."""
    least = sizes.topk(count).values[-1]
    largest = sizes > least
    alike = (sizes == least).nonzero().flatten()
    largest[alike[: count - int(largest.sum())]] = True
    return largest
