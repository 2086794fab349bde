"""AlignIns: leaves out updates whose direction or signs are unlike those of the others (CVPR 2025)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.aggregation.clipped import clipped_mean, shares
from fedskew.aggregation.columns import middle
from fedskew.aggregation.matrix import exact_rows
from fedskew.portable import deviation, norm, total
from fedskew.protocols import AggregationTrace, ClientUpdates, ServerView
from fedskew.rounding import whole

DIGITS = 9
"""Of the scores, that count: between those of equal updates there is nothing but rounding."""


def align_ins(
    updates: ClientUpdates,
    view: ServerView,
    *,
    lambda_s: Annotated[float, Field(gt=0)] = 1.0,
    lambda_c: Annotated[float, Field(gt=0)] = 1.0,
    sparsity: Annotated[float, Field(gt=0, le=1)] = 0.3,
) -> tuple[Tensor, AggregationTrace]:
    """The mean of the updates that are alike in both of two measures, clipped to the median norm of these, [P].

    Formula: TDA_i = cos(delta_i, w);
    MPSA_i = the share of agreement with sgn(sum_k sgn(delta_k));
    kept are the updates with |TDA_i - median| / std < lambda_c and |MPSA_i - median| / std < lambda_s;
    the mean of the kept, clipped to their median norm

    Weights: the updates' shares in the mean

    MPSA_i is the share of agreement with the principal sign, sgn(sum_k sgn(delta_k)), among
    the ``sparsity`` * P largest entries of delta_i in absolute value (and those equal to the smallest of them). The
    score of a measure is |x_i - median| / std, population standard deviation over the clients, 0 where all are
    equal. Kept are the updates with a score below ``lambda_c`` for TDA and below ``lambda_s`` for MPSA. Where none is,
    the result is 0 and the global model stays as it is. Numbers of examples are ignored.

    Args:
        lambda_s: the radius for MPSA, in standard deviations.
        lambda_c: the radius for TDA, in standard deviations. With a radius up to 1, three updates are needed: each of
            two lies one standard deviation from their median.
        sparsity: the share of the entries whose signs count.

    Reference: Xu, Zhang & Hu, "Detecting Backdoor Attacks in Federated Learning via Direction Alignment Inspection",
    CVPR 2025. The authors' code takes the lower of the middle two norms of an even number of updates; here the median
    is their mean, as everywhere in fedskew. It keeps nobody where a measure is equal for all (0 / 0).

    With w = 0 the TDA are equal. The principal signs are (+, +), so the MPSA are 1, 1, 1, 0; their median is 1, their
    standard deviation 0.43, the last score 2.3. The norms of the others are 5, 5 and 10.

    >>> from fedskew import aggregate
    >>> aggregate("align-ins", [[3.0, 4.0], [3.0, 4.0], [6.0, 8.0], [-3.0, -4.0]], sparsity=1.0)
    tensor([3., 4.])
    """
    deltas = updates.deltas
    reference = view.global_weights.double()
    length = norm(reference)
    signs = _principal_signs(deltas)
    largest = max(1, whole(sparsity * deltas.shape[1]))
    norms, directions, agreements = [], [], []
    for row, own in exact_rows(deltas):
        agreements.append(_agreement(row, signs, largest))
        norms.append(own)
        directions.append(torch.where(own * length > 0, total(row.mul_(reference)) / (own * length), 0.0))
    kept = (_scores(directions) < lambda_c) & (_scores(agreements) < lambda_s)
    lengths = torch.stack(norms)
    bound = middle(lengths[kept].sort().values) if kept.any() else 0.0
    delta = clipped_mean(deltas, lengths, bound, kept)
    return delta.to(deltas.dtype), AggregationTrace(client_weights=shares(kept))


def _principal_signs(deltas: Tensor) -> Tensor:
    """The sign of the sum of the rows' signs, [P]; row by row, without a second matrix [S, P]."""
    agreement = torch.zeros_like(deltas[0])
    for delta in deltas:
        agreement += delta.sign()
    return agreement.sign()


def _agreement(row: Tensor, signs: Tensor, largest: int) -> Tensor:
    """The share of a row's largest entries [P] that have these signs, without dimensions."""
    sizes = row.abs()
    counted = sizes >= sizes.kthvalue(len(row) - largest + 1).values
    return (counted & (row.sign() == signs)).sum().double() / counted.sum()


def _scores(measured: list[Tensor]) -> Tensor:
    """How many standard deviations each value lies from the median, [S]."""
    values = torch.stack(measured).round(decimals=DIGITS)
    spread = deviation(values)
    scores = torch.where(spread > 0, (values - middle(values.sort().values)).abs() / spread, 0.0)
    return scores.round(decimals=DIGITS)
