"""Trackers of somebody else's, for tests of --track: one that writes lines, and ones that go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedskew.protocols import RoundRecord
from fedskew.trackers.tracking import TrackedRun

closed: list[str] = []


class Lines:
    def __init__(self, run: TrackedRun, name: str) -> None:
        self.path, self.name = run.root / f"{name}-{run.identity}.txt", name
        self.path.unlink(missing_ok=True)

    def on_round(self, record: RoundRecord) -> None:
        with self.path.open("a") as file:
            print(record.round, record.metrics["accuracy"], file=file)

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        with self.path.open("a") as file:
            print(len(records), reason, file=file)

    def close(self) -> None:
        closed.append(self.name)


def lines(run: TrackedRun, *, where: str = "lines") -> Lines:
    return Lines(run, where)


class Bad:
    def on_round(self, record: RoundRecord) -> None:
        if record.round == 2:
            raise BrokenPipeError("the server is gone\nand more")

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None: ...


def bad(run: TrackedRun) -> Bad:
    return Bad()


def worse(run: TrackedRun) -> Bad:
    raise OSError("no room")


class Meddler:
    def on_round(self, record: RoundRecord) -> None:
        record.metrics.clear()
        record.metrics["train_loss"] = -float(record.round)
        record.cohort.append(17)

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        for record in records:
            record.metrics.clear()


def meddler(run: TrackedRun) -> Meddler:
    return Meddler()


def no_tracker(experiment: Any) -> None: ...
