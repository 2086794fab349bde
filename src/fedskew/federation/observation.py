"""What observers see of a round from their seats, and the numbers that they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from fedskew.components.returned import checked_observed
from fedskew.evaluation.metric_table import METRICS
from fedskew.federation.state import RunState
from fedskew.federation.world import World
from fedskew.protocols import ClientUpdates, Observation, Seat


@dataclass
class Watch:
    """The observers of one round; holds copies for them, and nothing where there are none.

    Attributes:
        buffers: float32 [B], of the global model that is sent in this round.
    """

    world: World
    buffers: Tensor
    _seen: dict[Seat, Observation] = field(default_factory=dict)

    def see(self, number: int, weights: Tensor, updates: ClientUpdates) -> None:
        """Keeps what each seat in use sees before the server aggregates.

        Args:
            number: the round, 1-based.
            weights: float32 [P], the global model that was sent.
            updates: as they arrived.
        """
        seats = {observer.seat for _, observer in self.world.observers}
        for seat in seats | {attack.seat for _, attack in self.world.privacy_attacks}:
            arrived = _copied(updates) if seat == "server" else None
            self._seen[seat] = Observation(number, weights.clone(), arrived)

    def see_delta(self, delta: Tensor) -> None:
        """Adds what the aggregator made of the updates, float32 [P], for the seats that see it."""
        for seat, seen in self._seen.items():
            if seat in ("server", "aggregate"):
                self._seen[seat] = replace(seen, delta=delta.clone())

    def numbers(self, state: RunState, *, last: bool, taken: Mapping[str, float]) -> dict[str, float]:
        """What the observers return for the round that ``state`` has just completed.

        Args:
            last: whether it is the run's last; then an outsider is shown the model.
            taken: the round's metrics, whose names are taken.
        """
        found: dict[str, float] = {}
        for name, observer in self.world.observers:
            own = self.seen(observer.seat, last=last)
            if observer.seat == "outsider":
                own = Observation(state.round, state.weights.clone(), last=True) if last else None
            if own is None:
                continue
            found |= checked_observed(name, observer.observe(own), METRICS | taken.keys() | found.keys())
        return found

    def seen(self, seat: Seat, *, last: bool) -> Observation | None:
        """What a seat saw of the round, copied for one observer: what it does to it must not reach the next.

        None where the server had nothing to aggregate.
        """
        seen = self._seen.get(seat)
        if seen is None:
            return None
        return replace(
            seen,
            weights=seen.weights.clone(),
            updates=None if seen.updates is None else _copied(seen.updates),
            delta=None if seen.delta is None else seen.delta.clone(),
            last=last,
        )


def _copied(updates: ClientUpdates) -> ClientUpdates:
    def copy(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.clone()

    return ClientUpdates(
        updates.deltas.clone(),
        updates.num_examples.clone(),
        updates.client_ids.clone(),
        copy(updates.steps),
        copy(updates.losses),
        {name: tensor.clone() for name, tensor in updates.uploads.items()},
        copy(updates.start_losses),
    )
