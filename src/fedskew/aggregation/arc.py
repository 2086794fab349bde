"""Adaptive robust clipping: the longest updates are clipped to the length of the next one (ICLR 2025)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedskew.aggregation.enough import check_enough
from fedskew.aggregation.matrix import row_norms
from fedskew.aggregation.transforms import shortened
from fedskew.protocols import ClientUpdates, Rng, ServerView


def arc(
    updates: ClientUpdates, view: ServerView, rng: Rng, *, f: Annotated[int, Field(ge=0)]
) -> ClientUpdates:
    """The k longest updates, clipped to the length of the longest of the others, [S, P].

    Formula: k = floor(2 (f / S) (S - f));
    delta_i min(1, L / ||delta_i||), with L the (k+1)-th largest length

    A rule after it keeps its f.

    Args:
        f: how many of a round's updates may be malicious; 0 leaves the updates as they are.

    Raises:
        ConfigError: fewer than 2f + 1 updates.

    Reference: Allouah, Guerraoui, Gupta, Jellouli, Rizk & Stephan, "Adaptive Gradient Clipping for Robust Federated
    Learning", ICLR 2025 (arXiv 2405.14432), Algorithm 2.

    With S = 4 and f = 1, k = floor(1.5) = 1: the length 10 becomes 5.

    >>> from fedskew import aggregate
    >>> matrix = [[0.0, 1.0], [3.0, 4.0], [2.0, 0.0], [6.0, 8.0]]
    >>> aggregate("mean", matrix, transforms=[{"name": "arc", "f": 1}])
    tensor([2.0000, 2.2500])
    """
    count = len(updates.deltas)
    check_enough("transform 'arc'", count, 2 * f + 1, "2f + 1", f=f)
    clipped = 2 * f * (count - f) // count
    norms = row_norms(updates.deltas)
    return shortened(updates, norms, norms.sort(descending=True).values[clipped])
