"""What is done next, wherever it is done: the loop that gives tasks to workers and takes their events.

A place to run is a function like ``fedskew.study.pool.run_all``; inside, it is a *crew*, whose workers are processes of
this machine or of a cluster. Which task comes next is the same everywhere: in order, but a run waits while one that it
may continue from is worked on, and one that another process holds is left to it and looked at again at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fedskew.runs.events import Ended, Event, Held
from fedskew.study.tasks import Task, WorkerSetup

PAUSE = 2.0
"""Seconds until a run that another process holds is looked at again."""

Observe = Callable[[Event], None]
Enough = Callable[[Ended], bool]


class Place(Protocol):
    """Somewhere to run. Does all tasks and returns those that failed, by position, with the reason.

    Args:
        tasks: what is to be done.
        jobs: how many at a time; None for as many as there is room for.
        setup: what every worker is set up with.
        observe: called in this process with every event.
        enough: whether to stop after a task that has failed; those that are being worked on are interrupted.
    """

    def __call__(
        self, tasks: Sequence[Task], jobs: int | None, setup: WorkerSetup, observe: Observe, enough: Enough, /
    ) -> dict[int, str]:
        """Does all tasks."""


class Crew(Protocol):
    """The workers of one place."""

    def has_room(self) -> bool:
        """Whether one more task can be given."""

    def give(self, number: int, task: Task) -> None:
        """Has a task done; ``number`` is what its events call it."""

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """What the workers have to tell, after at most so many seconds; each task ends in ``Ended`` or ``Held``."""

    def stop(self) -> None:
        """Interrupts what is being done and lets the workers go."""


def do_all(tasks: Sequence[Task], crew: Crew, observe: Observe, enough: Enough) -> dict[int, str]:
    """Have a crew do all tasks; arguments and result as for a ``Place``."""
    failed: dict[int, str] = {}
    agenda = Agenda(tasks)
    try:
        while not agenda.over:
            while crew.has_room() and (number := agenda.take(time.monotonic())) is not None:
                crew.give(number, tasks[number])
            for event in crew.wait(agenda.pause(time.monotonic())):
                agenda.see(event, time.monotonic())
                observe(event)
                if isinstance(event, Ended) and event.error is not None:
                    failed[event.task] = event.error
                    if enough(event):
                        return failed
    finally:
        crew.stop()
    return failed


class Agenda:
    """Which tasks wait, which are being done here, and which another process holds."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._waiting = list(range(len(tasks)))
        self._busy: set[int] = set()
        self._held: dict[int, float] = {}  # -> when to look at it again

    @property
    def over(self) -> bool:
        """Whether every task has ended."""
        return not (self._waiting or self._busy or self._held)

    def take(self, now: float) -> int | None:
        """The next task to begin: the first waiting one none of whose relatives is being worked on, else one whose
        holder may be done; None if there is none at this time (in seconds)."""
        occupied = {self._tasks[number].folder for number in (*self._busy, *self._held)}
        free = (n for n in self._waiting if occupied.isdisjoint(self._tasks[n].relatives))
        number = next(free, None)
        if number is not None:
            self._waiting.remove(number)
        else:
            number = next((n for n, when in self._held.items() if when <= now), None)
            if number is None:
                return None
            del self._held[number]
        self._busy.add(number)
        return number

    def see(self, event: Event, now: float) -> None:
        """Takes note of an event."""
        if isinstance(event, Ended | Held):
            self._busy.discard(event.task)
        if isinstance(event, Held):
            self._held[event.task] = now + PAUSE

    def pause(self, now: float) -> float | None:
        """Seconds until a task that another process holds is due; None if there is no such task."""
        return max(0.0, min(self._held.values()) - now) if self._held else None
