"""Events of running runs, for the code that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedskew.protocols import RoundRecord


@dataclass(frozen=True)
class Started:
    """Work on a run has begun: again, where the machine that did it was lost.

    Attributes:
        task: which of the runs, by position.
    """

    task: int


@dataclass(frozen=True)
class RoundDone:
    """A round is done (or was found done, when the run is resumed)."""

    task: int
    round: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Ended:
    """Work on a run is over.

    Attributes:
        error: None if the run is complete, else why it is not.
        died: whether its process ended without telling why.
    """

    task: int
    rounds: int
    error: str | None
    died: bool = False


@dataclass(frozen=True)
class Held:
    """Another process is working on a run, so that it was left alone; it will be looked at again."""

    task: int


Event = Started | RoundDone | Ended | Held


class Reporter:
    """A callback that tells of each round of a run, and remembers how many there were.

    Args:
        send: gets the events.
        task: the run's position.
    """

    def __init__(self, send: Callable[[Event], None], task: int) -> None:
        self._send, self._task = send, task
        self.rounds = 0

    def on_round(self, record: RoundRecord) -> None:
        """Tells of a round."""
        self.rounds = record.round
        self._send(RoundDone(self._task, record.round, record.metrics))

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        """The code that started the run reports its end, also when it failed."""
