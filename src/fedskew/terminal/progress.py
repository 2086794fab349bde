"""What a person sees while runs are done: bars on a terminal, an output that is brought up to date in a notebook, plain
lines elsewhere. On stderr, but in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from fedskew.evaluation.metric_table import MAIN_METRICS, meaning
from fedskew.runs.events import Ended, Event, Held, RoundDone, Started
from fedskew.study.time_left import Course, Left, pace, time_left
from fedskew.terminal.notebook import Output, in_notebook
from fedskew.terminal.say import console, show
from fedskew.wording import clock, count, visible

MANY = 100
"""Runs whose time left is estimated for every event."""

PLAIN_EVERY = 30.0
"""Seconds between plain lines of one run."""


def metrics_text(metrics: dict[str, float]) -> str:
    """The main metrics of a round in a few words, in percent."""
    return "  ".join(
        f"{meaning(name).label} {meaning(name).text(metrics[name], '.1f')}"
        for name in MAIN_METRICS
        if name in metrics
    )


class TimeLeft:
    """How long a set of runs will take, from their events (``study.time_left``).

    Args:
        limits: the round limit of each run; any may stop before it.
        jobs: how many are done at a time; None for as many as are seen to be.
    """

    def __init__(self, limits: Sequence[int], jobs: int | None) -> None:
        self._jobs = jobs
        self._courses = {number: Course("waiting", 0, limit, None) for number, limit in enumerate(limits)}
        self._last: dict[int, tuple[float, int]] = {}
        self._seconds: dict[int, list[float]] = {}
        self._known: tuple[dict[int, Left], Left | None] | None = None
        self._when = 0.0

    def see(self, event: Event) -> None:
        """Takes note of an event."""
        task, before = event.task, self._courses[event.task]
        if isinstance(event, Started):
            self._courses[task] = replace(before, state="running")
        elif isinstance(event, RoundDone):
            now, seconds = time.monotonic(), self._seconds.setdefault(task, [])
            if task in self._last:
                then, number = self._last[task]
                if event.round == number + 1 and now - then > 1e-3:  # rounds found done come in a burst
                    seconds.append(now - then)
            self._last[task] = (now, event.round)
            self._courses[task] = replace(before, rounds=event.round, pace=pace(seconds))
        elif isinstance(event, Ended):  # a run that failed says nothing about how long runs are
            over: Literal["done", "failed"] = "done" if event.error is None else "failed"
            self._courses[task] = replace(before, state=over, rounds=event.rounds)

    def text(self, task: int | None = None) -> str:
        """The estimate for all runs, or for one, in words; empty while there is none."""
        each, whole = self._estimate()
        left = whole if task is None else each.get(task)
        return f"{'at most ' if left.at_most else ''}{clock(left.seconds)} left" if left else ""

    def _estimate(self) -> tuple[dict[int, Left], Left | None]:
        """Of all runs; of many at most once a second, since it takes longer the more they are."""
        now = time.monotonic()
        if self._known is None or len(self._courses) <= MANY or now - self._when >= 1.0:
            running = sum(course.state == "running" for course in self._courses.values())
            self._known, self._when = time_left(self._courses, self._jobs or running), now
        return self._known


class Display(Protocol):
    """Shows the events of a set of runs; a context manager."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def see(self, event: Event) -> None:
        """Shows an event."""


LEFT_TO_OTHERS = "runs that another process is doing are left to it and looked at again at the end"


def display(titles: Sequence[str], limits: Sequence[int], jobs: int | None, quiet: bool = False) -> Display:
    """Bars if stderr is a terminal, one output in a notebook, else plain lines; nothing if ``quiet``.

    Args:
        titles, limits: of each run, by the number that events have for it: its cell in words and its round limit.
        jobs: how many are done at a time; None for as many as are seen to be.
    """
    if quiet:
        return _Silent()
    if in_notebook():
        return Cell(titles, limits, jobs)
    if sys.stderr.isatty():
        return _Bars(titles, limits, jobs)
    return _Lines(titles, limits, jobs)


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def see(self, event: Event) -> None:
        return None


class _Lines:
    """One line when a run starts, ends and every half minute in between."""

    def __init__(self, titles: Sequence[str], limits: Sequence[int], jobs: int | None) -> None:
        self._titles, self._left = titles, TimeLeft(limits, jobs)
        self._shown: dict[int, float] = {}
        self._metrics: dict[int, str] = {}
        self._over = 0
        self._left_to_others = False

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def see(self, event: Event) -> None:
        self._left.see(event)
        title, now = self._titles[event.task], time.monotonic()
        if isinstance(event, Started):
            self._shown[event.task] = now
            show(f"{title}: started", err=True)
        elif isinstance(event, RoundDone):
            self._metrics[event.task] = metrics_text(event.metrics)
            if now - self._shown.get(event.task, now) >= PLAIN_EVERY:
                self._shown[event.task] = now
                left = self._left.text()
                show(
                    f"{title}: round {event.round}  {self._metrics[event.task]}{f'  ({left})' if left else ''}",
                    err=True,
                )
        elif isinstance(event, Held):
            if not self._left_to_others:
                self._left_to_others = True
                show(LEFT_TO_OTHERS, err=True)
        else:
            self._over += 1
            counted = f"[{self._over}/{len(self._titles)}]"
            if event.error is None:
                metrics = self._metrics.get(event.task, "(by another process)")  # which alone saw its rounds
                show(f"{counted} {title}: done in {count(event.rounds, 'round')}  {metrics}", err=True)
            else:
                show(f"{counted} {title}: FAILED: {event.error.splitlines()[0]}", err=True)


class _Bars:
    """A bar for the whole and one for each run at work."""

    def __init__(self, titles: Sequence[str], limits: Sequence[int], jobs: int | None) -> None:
        self._titles, self._limits, self._left = titles, limits, TimeLeft(limits, jobs)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console(err=True),
        )
        self._rows: dict[int, TaskID] = {}
        self._all: TaskID | None = None
        self._begun = False
        self._left_to_others = False

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def see(self, event: Event) -> None:
        if not self._begun:  # not before: a download shows a bar of its own
            self._begun = True
            self._progress.start()
            if len(self._titles) > 1:
                self._all = self._progress.add_task("all runs", total=len(self._titles), note="")
        self._left.see(event)
        if isinstance(event, Started) and event.task not in self._rows:
            limit = self._limits[event.task]
            self._rows[event.task] = self._progress.add_task(
                f"  {self._titles[event.task]}", total=limit, note=""
            )
        elif isinstance(event, RoundDone):
            note: Any = metrics_text(event.metrics)
            note = f"{note}  {self._left.text(event.task)}"
            self._progress.update(self._rows[event.task], completed=event.round, note=note)
        elif isinstance(event, Held):
            if not self._left_to_others:
                self._left_to_others = True
                self._progress.console.print(LEFT_TO_OTHERS, highlight=False)
        elif isinstance(event, Ended):
            if event.task in self._rows:
                self._progress.remove_task(self._rows.pop(event.task))
            if event.error is not None:
                title = self._titles[event.task]
                self._progress.console.print(
                    f"{title}: FAILED: {event.error.splitlines()[0]}", highlight=False
                )
            if self._all is not None:
                self._progress.advance(self._all)
        if self._all is not None:
            self._progress.update(self._all, note=self._left.text())


class Cell:
    """In a notebook: one output, brought up to date at most so often, which says in the end how the runs ended.

    Neither a widget nor bars of characters: those need an extension of the front end, and a notebook that is kept does
    not show where they ended.
    """

    def __init__(self, titles: Sequence[str], limits: Sequence[int], jobs: int | None) -> None:
        self._titles, self._limits, self._left = titles, limits, TimeLeft(limits, jobs)
        self._running: dict[int, str] = {}
        self._done = 0
        self._failed: list[str] = []
        self._output = Output()

    def __enter__(self) -> Cell:
        return self

    def __exit__(self, *_: object) -> None:
        self._output.show(self.text(), now=True)

    def see(self, event: Event) -> None:
        """Shows an event."""
        self._left.see(event)
        title, limit = self._titles[event.task], self._limits[event.task]
        if isinstance(event, Started):
            self._running[event.task] = f"  {title}: round 0/{limit}"
        elif isinstance(event, RoundDone):
            metrics = metrics_text(event.metrics)
            self._running[event.task] = f"  {title}: round {event.round}/{limit}  {metrics}"
        elif isinstance(event, Ended):
            self._running.pop(event.task, None)
            self._done += event.error is None
            if event.error is not None:
                self._failed.append(f"{title}: FAILED: {event.error.splitlines()[0]}")
        self._output.show(self.text())

    def text(self) -> str:
        """What the output says now."""
        left = self._left.text() if self._running else ""
        head = f"{self._done} of {count(len(self._titles), 'run')} done{f', {left}' if left else ''}"
        return visible("\n".join([head, *self._running.values(), *self._failed]))
