"""The clients of a round: what the selection rule takes, from what the server may know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fedskew.components.returned import checked_cohort, checked_ids
from fedskew.federation.state import RunState
from fedskew.federation.world import World
from fedskew.portable import mean
from fedskew.protocols import IndexArray, SelectionView
from fedskew.seeding import stream
from fedskew.training.engine import one_thread


def choose_cohort(world: World, state: RunState, shards: Sequence[IndexArray]) -> list[int]:
    """The ids of the next round's clients, ascending.

    Args:
        shards: what each client would train on in this round.
    """
    number, clients = state.round + 1, world.experiment.clients
    view = SelectionView(
        round=number,
        num_clients=clients.count,
        size=clients.per_round,
        num_examples=world.num_examples.copy(),
        losses=lambda ids: _losses(world, state, shards, ids),
    )
    with one_thread():
        chosen = world.selection(view, stream(world.experiment.seed, "cohort", number))
    ids: list[int] = checked_cohort(clients.selection.label, chosen, clients.count).tolist()
    return ids


def _losses(
    world: World, state: RunState, shards: Sequence[IndexArray], ids: Sequence[int]
) -> npt.NDArray[np.float64]:
    """The mean loss of the global model on the data of each of these clients, float64; NaN for one without data."""
    asked = checked_ids(world.experiment.clients.selection.label, ids, len(shards))
    parts = [shards[k] for k in asked]
    positions = torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
    if not len(positions):
        return np.full(len(parts), np.nan)
    images, labels = world.population.images[positions], world.population.labels[positions]
    found = world.engine.predict(state.weights, state.buffers, images, labels).losses.double()
    return np.array([float(mean(part)) for part in torch.split(found, [len(shard) for shard in parts])])
