"""Data sharing: every client gets the same sample of images in addition to what another split gives it."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fedskew.components.binding import resolve
from fedskew.components.known import facts_of
from fedskew.components.returned import checked_split
from fedskew.config import Component
from fedskew.protocols import IndexArray, LabelArray, Rng
from fedskew.rounding import whole


def data_sharing(
    labels: LabelArray,
    num_clients: int,
    rng: Rng,
    *,
    of: Component,
    fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> list[IndexArray]:
    """Another split, and a sample of images that the server shares with every client.

    Formula: |G| = floor(fraction N) of N images stay with the server; ``of`` divides the others;
    the same floor(share |G|) of G go to every client

    What is not shared of G stays with the server: nobody trains on it. G and what is shared are drawn uniformly, from
    a stream of their own, so that ``of`` draws what it would draw alone: with fraction = 0 the result is that of
    ``of``, with share = 0 that of ``of`` on the images outside G. A larger fraction or share adds images to those of a
    smaller one. A client holds its own images first, then the shared ones; it trains on both, and its n_k counts
    both, so that a client to whom ``of`` gives nothing takes part as well.

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

    >>> of = Component(name="shards", classes_per_client=1)
    >>> parts = data_sharing(np.arange(10) % 2, 2, np.random.default_rng(0), of=of, fraction=0.4, share=0.5)
    >>> [len(part) for part in parts]  # |G| = 4, of which 2 are shared: 8 places for the 6 that ``of`` divides
    [5, 5]
    >>> sorted(set(parts[0]) & set(parts[1])) == sorted(parts[0][-2:]) == sorted(parts[1][-2:])
    True
    """
    order = rng.spawn(1)[0].permutation(len(labels))
    kept = order[: whole(fraction * len(order))]
    shared, rest = kept[: whole(share * len(kept))], np.sort(order[len(kept) :])
    parts = resolve("split", of, "split.of")(labels[rest], num_clients, rng)
    own = checked_split(of.label, parts, len(rest), num_clients, shares=facts_of("split", of).shares)
    return [np.concatenate([rest[part], shared]) for part in own]
