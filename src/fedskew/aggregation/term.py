"""TERM: tilted weights, from the clients that fit worst to those that fit best, by one number (ICLR 2021)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.aggregation.reported import reported_losses, significant, weighted
from fedskew.protocols import AggregationTrace, Aggregator, ClientUpdates, ServerView, State


def term(*, t: Annotated[float, Field(allow_inf_nan=False)]) -> Aggregator:
    """A mean tilted towards the clients with the highest or the lowest loss of the global model, [P].

    Formula: sum_k e^(t F_k) delta_k / sum_k e^(t F_k)

    F_k is the loss of the global model on client k's data before its training, as the client reports it. These are the
    weights that the gradients have in that of the tilted loss ln(mean_k e^(t F_k)) / t, here of clients, not of
    samples. t = 0 is the unweighted mean, bit for bit. t > 0 favours clients on whose data the model is bad (fairness;
    in the limit the worst one alone), t < 0 those on whose data it is good (robustness to outliers, whether malicious
    or only unusual). Exponents are taken from the largest, so nothing overflows.

    Weights: the shares in the result.

    A client chooses the loss that it reports: with t > 0 a high one, with t < 0 a low one takes all weight. The numbers
    of examples are ignored, and it does not matter which optimiser clients use.

    Args:
        t: per unit of loss, nats; for losses around 1 the authors' range of -2 to 2 tells clients apart by some e^2.

    Raises:
        ConfigError: at aggregation, updates without these losses.

    Reference: Li, Beirami, Sanjabi & Smith, "Tilted Empirical Risk Minimization", ICLR 2021 (arXiv 2007.01162).

    With t = ln 3 = 1.0986 and losses 2 and 1 the weights are 3 to 1.

    >>> from fedskew import aggregate
    >>> aggregate("term", [[4.0, 0.0], [0.0, 4.0]], start_losses=[2.0, 1.0], t=1.0986122886681098)
    tensor([3., 1.])
    """

    def apply(
        updates: ClientUpdates, view: ServerView, state: State
    ) -> tuple[Tensor, AggregationTrace, State]:
        losses = reported_losses("term", updates)
        favoured = losses.max() if t > 0 else losses.min()
        weights = significant((-abs(t) * (losses - favoured).abs()).exp())
        return *weighted(updates, weights), state

    return Aggregator(apply, start_losses=True)
