"""What a person sees while runs go on: bars on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from fedskew.evaluation.metric_table import MAIN_METRICS, meaning
from fedskew.study.pool import Event, RoundDone, Started

PLAIN_EVERY = 30.0
"""Seconds between plain lines of one run."""


def console() -> Console:
    """The console for progress and messages: stderr; rich honours NO_COLOR."""
    return Console(stderr=True)


def metrics_text(metrics: dict[str, float]) -> str:
    """The main metrics of a round in a few words, in percent."""
    return "  ".join(
        f"{meaning(name).label} {meaning(name).text(metrics[name], '.1f')}"
        for name in MAIN_METRICS
        if name in metrics
    )


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    hours, rest = divmod(int(seconds + 0.5), 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"


class TimeLeft:
    """How long a set of runs will take, from what it has taken so far.

    A run that stops by a plateau has no known length: the median of the finished ones stands for it once there
    is one, and until then the round limit, which is an upper bound and is said to be one.
    """

    def __init__(self, limits: Sequence[int], jobs: int) -> None:
        self._limits, self._jobs = limits, max(1, jobs)
        self._started = time.monotonic()
        self._begin: dict[int, float] = {}
        self._first_round: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._over: set[int] = set()
        self._lengths: list[int] = []
        self._last: dict[int, tuple[float, int]] = {}
        self._pace: list[float] = []

    def see(self, event: Event) -> None:
        """Takes note of an event."""
        now = time.monotonic()
        if isinstance(event, Started):
            self._begin[event.task] = now
        elif isinstance(event, RoundDone):
            if event.task in self._last:
                before, number = self._last[event.task]
                if event.round == number + 1 and now - before > 1e-3:  # rounds found done come in a burst
                    self._pace.append(now - before)
            self._last[event.task] = (now, event.round)
            self._done[event.task] = event.round
        else:
            self._over.add(event.task)
            if event.error is None:  # a run that failed says nothing about how long runs are
                self._lengths.append(event.rounds)
            self._last.pop(event.task, None)

    def text(self, task: int | None = None) -> str:
        """The estimate for all runs, or for one, in words; empty while there is none."""
        if not self._pace:
            return ""
        typical = statistics.median(self._lengths) if self._lengths else None
        tasks = range(len(self._limits)) if task is None else [task]
        left = 0.0
        for number in tasks:
            if number not in self._over:
                limit = self._limits[number]
                length = limit if typical is None else min(limit, typical)
                left += max(length - self._done.get(number, 0), 1)
        side_by_side = min(self._jobs, len(tasks))
        seconds = left * statistics.fmean(self._pace[-200:]) / side_by_side
        bound = "at most " if typical is None else ""
        return f"{bound}{duration(seconds)} left"


class Display(Protocol):
    """Shows the events of a set of runs; a context manager."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def see(self, event: Event) -> None:
        """Shows an event."""


def display(titles: Sequence[str], limits: Sequence[int], jobs: int, quiet: bool = False) -> Display:
    """Bars if stderr is a terminal, else plain lines; nothing if ``quiet``.

    Args:
        titles, limits: of each run: its cell in words and its round limit.
    """
    if quiet:
        return _Silent()
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

    def __init__(self, titles: Sequence[str], limits: Sequence[int], jobs: int) -> None:
        self._titles, self._left = titles, TimeLeft(limits, jobs)
        self._shown: dict[int, float] = {}
        self._metrics: dict[int, str] = {}
        self._over = 0

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def see(self, event: Event) -> None:
        self._left.see(event)
        title, now = self._titles[event.task], time.monotonic()
        if isinstance(event, Started):
            self._shown[event.task] = now
            self._print(f"{title}: started")
        elif isinstance(event, RoundDone):
            self._metrics[event.task] = metrics_text(event.metrics)
            if now - self._shown.get(event.task, now) >= PLAIN_EVERY:
                self._shown[event.task] = now
                left = self._left.text()
                self._print(
                    f"{title}: round {event.round}  {self._metrics[event.task]}{f'  ({left})' if left else ''}"
                )
        else:
            self._over += 1
            counted = f"[{self._over}/{len(self._titles)}]"
            if event.error is None:
                self._print(
                    f"{counted} {title}: done in {event.rounds} rounds  {self._metrics.get(event.task, '')}"
                )
            else:
                self._print(f"{counted} {title}: FAILED: {event.error.splitlines()[0]}")

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bars:
    """A bar for the whole and one for each run at work."""

    def __init__(self, titles: Sequence[str], limits: Sequence[int], jobs: int) -> None:
        self._titles, self._limits, self._left = titles, limits, TimeLeft(limits, jobs)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=console(),
        )
        self._rows: dict[int, TaskID] = {}
        self._all: TaskID | None = None

    def __enter__(self) -> _Bars:
        self._progress.start()
        if len(self._titles) > 1:
            self._all = self._progress.add_task("all runs", total=len(self._titles), note="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def see(self, event: Event) -> None:
        self._left.see(event)
        if isinstance(event, Started):
            limit = self._limits[event.task]
            self._rows[event.task] = self._progress.add_task(
                f"  {self._titles[event.task]}", total=limit, note=""
            )
        elif isinstance(event, RoundDone):
            note: Any = metrics_text(event.metrics)
            note = f"{note}  {self._left.text(event.task)}"
            self._progress.update(self._rows[event.task], completed=event.round, note=note)
        else:
            if event.task in self._rows:
                self._progress.remove_task(self._rows.pop(event.task))
            if event.error is not None:
                title = self._titles[event.task]
                self._progress.console.print(
                    f"{title}: FAILED: {event.error.splitlines()[0]}", markup=False, highlight=False
                )
            if self._all is not None:
                self._progress.advance(self._all)
        if self._all is not None:
            self._progress.update(self._all, note=self._left.text())
