"""What is recorded of a round, and what decides from the records: stopping rules, callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class RoundRecord:
    """One line of ``rounds.jsonl``: everything measured in one round, and nothing that differs between repeats.

    Attributes:
        round: 1-based.
        metrics: name -> fraction or number, as listed in docs/metrics.md.
        per_class_accuracy: [C] on the clean test images.
        cohort: ids of the clients that took part.
        rejected: ids of those whose update was not finite; they were left out of the round.
        empty: ids of those without data; they have weight 0.
        trace: what the aggregation records of itself.
        client_weights: the weight of each client in the aggregate, by id, where the rule says it; else empty.
        per_group_accuracy: on the clean test images, by the group's name, where the data has groups; else empty.
        per_client_accuracy: of each honest client on its own held-out data, by id, in the rounds in which it is
            measured and of at most 1,000 clients; else empty.
        per_client_personal: the same of its personal model.
        late: names of the metrics that were measured after the stopping rule had looked at the round: those of
            observers and of clients' held-out data. No rule ever sees them, nor the two fields before, so that it
            always decides the same.
        seconds: wall-clock time of each phase; kept in ``timings.jsonl``, not in the record.

    >>> record = RoundRecord(1, {"accuracy": 0.9}, [0.9, 0.9], cohort=[0, 1, 2], rejected=[2], empty=[], trace={})
    >>> record.metrics["accuracy"], record.arrived
    (0.9, [0, 1])
    """

    round: int
    metrics: dict[str, float]
    per_class_accuracy: list[float]
    cohort: list[int]
    rejected: list[int]
    empty: list[int]
    trace: dict[str, float]
    client_weights: dict[int, float] = field(default_factory=dict)
    per_group_accuracy: dict[str, float] = field(default_factory=dict)
    per_client_accuracy: dict[int, float] = field(default_factory=dict)
    per_client_personal: dict[int, float] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def arrived(self) -> list[int]:
        """Ids of the clients whose updates the defence got: those with data that were not rejected."""
        without = {*self.empty, *self.rejected}
        return [client for client in self.cohort if client not in without]


@dataclass(frozen=True)
class Verdict:
    """What a stopping rule says: whether to stop, and why (one sentence).

    >>> def at_ninety(history):
    ...     return Verdict(history[-1].metrics["accuracy"] >= 0.9, "accuracy reached 90 %")
    >>> at_ninety([RoundRecord(1, {"accuracy": 0.91}, [], [0], [], [], {})]).stop
    True
    """

    stop: bool
    reason: str = ""


class StoppingRule(Protocol):
    """(history so far, oldest round first) -> whether to stop, and why. A pure function of the history."""

    def __call__(self, history: Sequence[RoundRecord], /, **options: Any) -> Verdict: ...


class Callback(Protocol):
    """Sees every round and the end of a run; it can change no result."""

    def on_round(self, record: RoundRecord) -> None:
        """Called after each round."""

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        """Called once, when the run has stopped, with why."""
