"""Runs on local processes, one thread each. A run that fails or whose process dies does not stop the others.

Workers are spawned, live for many runs, and report each round over a pipe. They die with their parent: on Linux
at once, elsewhere when they next report.
"""

from __future__ import annotations

import ctypes
import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedskew.config import Execution, Experiment
from fedskew.errors import FedskewError, place_of
from fedskew.trackers.tracking import TrackedRun, tracking

if TYPE_CHECKING:
    from fedskew.protocols import RoundRecord


@dataclass(frozen=True)
class Task:
    """One run to do.

    Attributes:
        tracked: what trackers are told of it.
        relatives: folders of runs that it may go on from (``runs.execute``); it waits while one is worked on.
    """

    folder: Path
    experiment: Experiment
    tracked: TrackedRun | None = None
    relatives: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Started:
    """A worker has begun a task."""

    task: int


@dataclass(frozen=True)
class RoundDone:
    """A worker has done a round (or found it done, when it resumes)."""

    task: int
    round: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Ended:
    """A task is over: ``error`` is None if it is complete, else why it is not."""

    task: int
    rounds: int
    error: str | None


Event = Started | RoundDone | Ended


def run_all(
    tasks: Sequence[Task],
    jobs: int,
    execution: Execution,
    observe: Callable[[Event], None],
    plugins: Sequence[str] = (),
    trackers: Sequence[str] = (),
) -> dict[int, str]:
    """Does all tasks, ``jobs`` at a time.

    Args:
        observe: called in this process with every event.
        plugins: prefixes of modules that workers may import for a config.
        trackers: as for ``--track``; each run gets its own.

    Returns:
        The tasks that failed, by position, with the reason.
    """
    failed: dict[int, str] = {}
    waiting = list(range(len(tasks)))
    workers: list[_Worker] = []
    try:
        while waiting or any(w.task is not None for w in workers):
            workers = [w for w in workers if w.process.is_alive() or w.task is not None]
            while waiting and len(workers) < min(jobs, len(tasks)):
                workers.append(_Worker(execution, plugins, trackers))
            for worker in workers:
                if worker.task is None and (free := _free(waiting, workers, tasks)) is not None:
                    waiting.remove(free)
                    worker.give(free, tasks)
            ready = wait([w.pipe for w in workers if w.task is not None])
            for worker in workers:
                if worker.pipe in ready:
                    event = worker.receive()
                    if isinstance(event, Ended) and event.error is not None:
                        failed[event.task] = event.error
                    observe(event)
    finally:
        for worker in workers:
            worker.stop()
    return failed


def _free(waiting: Sequence[int], workers: Sequence[_Worker], tasks: Sequence[Task]) -> int | None:
    """The first waiting task none of whose relatives is being worked on; None if each must wait for one."""
    busy = {tasks[worker.task].folder for worker in workers if worker.task is not None}
    return next((number for number in waiting if busy.isdisjoint(tasks[number].relatives)), None)


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, execution: Execution, plugins: Sequence[str], trackers: Sequence[str]) -> None:
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve,
            args=(theirs, execution, tuple(plugins), tuple(trackers), os.getpid()),
            daemon=True,
        )
        with _ctrl_c_ignored():
            self.process.start()
        theirs.close()
        self.task: int | None = None
        self.rounds = 0

    def give(self, number: int, tasks: Sequence[Task]) -> None:
        self.task, self.rounds = number, 0
        with suppress(BrokenPipeError):  # it died while idle: receive() will find out and say so
            self.pipe.send((number, tasks[number]))

    def receive(self) -> Event:
        number = self.task
        assert number is not None
        try:
            event: Event = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            event = Ended(number, self.rounds, f"its process died ({_exit(self.process.exitcode)})")
        if isinstance(event, RoundDone):
            self.rounds = event.round
        if isinstance(event, Ended):
            self.task = None
        return event

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Children start with Ctrl-C ignored: it is for the parent, which then stops its workers."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread, where Ctrl-C is nobody's business here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}, perhaps for lack of memory" if name == "SIGKILL" else name
    return f"exit code {code}"


def _serve(
    pipe: Connection, execution: Execution, plugins: tuple[str, ...], trackers: tuple[str, ...], parent: int
) -> None:
    """A worker's life: takes tasks until the pipe closes."""
    _die_with(parent)

    import torch

    from fedskew.components.registry import allow_plugin
    from fedskew.runs.execute import execute

    torch.set_num_threads(1)
    for prefix in plugins:
        allow_plugin(prefix)
    cache: dict[str, Any] = {}
    while True:
        try:
            number, task = pipe.recv()
        except EOFError:
            return
        pipe.send(Started(number))
        observer = _Reporter(pipe, number)
        try:
            data = _data(task, execution, cache)
            with tracking(trackers, task.tracked) as more:
                execute(task.folder, task.experiment, execution, [observer, *more], data, task.relatives)
            error = None
        except FedskewError as problem:
            error = str(problem)
        except BrokenPipeError:
            return
        except Exception as problem:
            error = (
                f"{type(problem).__name__}: {problem} ({place_of(problem)}; traceback in "
                f"{task.folder / 'failure.json'})"
            )
        pipe.send(Ended(number, observer.rounds, error))


def _data(task: Task, execution: Execution, cache: dict[str, Any]) -> Any:
    """The task's data set; the last one is kept, since the runs of a study mostly share it."""
    from fedskew.federation.world import load_data

    key = task.experiment.data.model_dump_json()
    if key not in cache:
        cache.clear()
        cache[key] = load_data(task.experiment, execution)
    return cache[key]


class _Reporter:
    """Sends each round to the parent. Fails with BrokenPipeError when the parent is gone, which ends the run."""

    def __init__(self, pipe: Connection, number: int) -> None:
        self.pipe, self.number, self.rounds = pipe, number, 0

    def on_round(self, record: RoundRecord) -> None:
        self.rounds = record.round
        self.pipe.send(RoundDone(self.number, record.round, record.metrics))

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        return None


def _die_with(parent: int) -> None:
    """Asks Linux to kill this process when its parent dies, so that no orphan holds a lock."""
    if sys.platform != "linux":
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
