"""Who holds the planted property (``privacy.property``) and in which images: index work, before any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fedskew.components.together import check_holders
from fedskew.config import Experiment
from fedskew.federation.spread import Spread
from fedskew.privacy.properties import PROPERTIES
from fedskew.protocols import IndexArray
from fedskew.seeding import stream


@dataclass(frozen=True)
class Planted:
    """A property in the data of some honest clients.

    Attributes:
        places: id of each holder, ascending -> which images of its shard have the property, as places in it, ascending.
        alter: uint8 images [n, channels, height, width] -> what they look like with the property.
    """

    places: Mapping[int, IndexArray]
    alter: Callable[[Tensor], Tensor]


def planted(where: Spread, experiment: Experiment) -> Planted | None:
    """Draws the holders and their images, from streams of their own; None where no property is planted.

    Raises:
        ConfigError: too few honest clients have data.
    """
    wanted = experiment.privacy.property
    if wanted is None:
        return None
    seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
    able = [k for k in where.honest if len(where.shards[k])]
    check_holders(wanted, len(able), f"with seed {seed} only {len(able)} of them have data")
    holders = stream(seed, "property holders").permutation(able)[: wanted.holders(len(able))]
    places = {}
    for k in sorted(map(int, holders)):
        order = stream(seed, "property images", k).permutation(len(where.shards[k]))
        places[k] = np.sort(order[: wanted.altered(len(order))])
    return Planted(places, PROPERTIES[wanted.name])
