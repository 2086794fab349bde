"""The loss of the global model on clients' own training data, before they train on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fedskew.federation.state import RunState
from fedskew.federation.world import World
from fedskew.portable import mean
from fedskew.protocols import IndexArray


def losses_of(
    world: World, state: RunState, shards: Sequence[IndexArray], clients: Sequence[int]
) -> npt.NDArray[np.float64]:
    """The mean loss of the global model on the data of each of these clients, float64; NaN for one without data.

    Costs one pass over their data.

    Args:
        shards: what each client trains on in this round.
        clients: ids.
    """
    parts = [shards[k] for k in clients]
    positions = torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
    if not len(positions):
        return np.full(len(parts), np.nan)
    images, labels = world.population.images[positions], world.population.labels[positions]
    found = world.engine.predict(state.weights, state.buffers, images, labels).losses.double()
    return np.array([float(mean(part)) for part in torch.split(found, [len(shard) for shard in parts])])
