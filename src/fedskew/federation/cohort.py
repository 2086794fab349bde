"""The clients of a round: what the selection rule takes, from what the server may know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedskew.components.returned import checked_cohort, checked_ids
from fedskew.federation.losses import losses_of
from fedskew.federation.state import RunState
from fedskew.federation.world import World
from fedskew.protocols import IndexArray, SelectionView
from fedskew.seeding import stream
from fedskew.training.engine import one_thread


def choose_cohort(world: World, state: RunState, shards: Sequence[IndexArray]) -> list[int]:
    """The ids of the next round's clients, ascending.

    Args:
        shards: what each client would train on in this round.
    """
    number, clients = state.round + 1, world.experiment.clients

    def losses(ids: Sequence[int]) -> npt.NDArray[np.float64]:
        return losses_of(world, state, shards, checked_ids(clients.selection.label, ids, len(shards)))

    view = SelectionView(
        round=number,
        num_clients=clients.count,
        size=clients.per_round,
        num_examples=world.num_examples.copy(),
        losses=losses,
    )
    with one_thread():
        chosen = world.selection(view, stream(world.experiment.seed, "cohort", number))
    ids: list[int] = checked_cohort(clients.selection.label, chosen, clients.count).tolist()
    return ids
