"""Data sharing: every client gets the same sample of images in addition to what another split gives it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.components.known import facts_of
from fedskew.components.returned import checked_division
from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.protocols import Division, Rng, SplitView, ViewedSplit
from fedskew.rounding import whole


def data_sharing(
    *,
    of: Component,
    fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> ViewedSplit:
    """Another split, and a sample of images that the server shares with every client.

    Formula: |G| = floor(fraction N) of N images stay with the server; `of` divides the others;
    the same floor(share |G|) of G go to every client

    What is not shared of G stays with the server: no honest client trains on it. G and what is shared are drawn
    uniformly, from a stream of their own, so that ``of`` draws what it would draw alone: with fraction = 0 the result
    is that of ``of``, with share = 0 that of ``of`` on the images outside G. A larger fraction or share adds images to
    those of a smaller one. A client holds its own images first, then the shared ones; it trains on both, and its n_k
    counts both, so that a client to whom ``of`` gives nothing takes part as well.

    The paper also starts from a model that was trained on G, which is left out here. Its "a random alpha portion of G"
    for each client is read as one portion for all, since its abstract calls the data "globally shared between all the
    edge devices". The server hands out training images: whoever holds one knows that it is trained on.

    Args:
        of: the split of what is not in G.
        fraction: of the images, 0 <= f < 1.
        share: of G, 0 to 1.

    Raises:
        PartitionError: ``of`` cannot divide the images that are left.

    Reference: Zhao et al., "Federated Learning with Non-IID Data", arXiv 1806.00582, 2018, the data-sharing strategy.

    >>> from fedskew.protocols import DatasetInfo
    >>> info = DatasetInfo("example", ("a", "b"), (1, 1, 1), (0.0,), (1.0,))
    >>> view = SplitView(np.arange(10) % 2, np.arange(10), 10, info)
    >>> split = data_sharing(of=Component(name="shards", classes_per_client=1), fraction=0.4, share=0.5)
    >>> division = split.divide(view, 2, np.random.default_rng(0))
    >>> [len(part) for part in division.parts]  # |G| = 4, of which 2 are shared: 8 places for the 6 that ``of`` divides
    [5, 5]
    >>> first, second = (part.tolist() for part in division.parts)
    >>> sorted(set(first) & set(second)) == sorted(first[-2:]) == sorted(second[-2:])
    True
    """
    inner: ViewedSplit = build_rule("split", of, "split.of")

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        order = copy.deepcopy(rng).spawn(1)[0].permutation(len(view.labels))  # ``of`` may spawn too
        kept = order[: whole(fraction * len(order))]
        shared, rest = kept[: whole(share * len(kept))], np.sort(order[len(kept) :])
        left = view.only(rest)
        parts = inner.divide(left, num_clients, rng)
        own = checked_division(of.label, parts, left, num_clients, facts_of("split", of))
        return replace(own, parts=[np.concatenate([rest[part], shared]) for part in own.parts])

    return ViewedSplit(divide)
