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
from typing import Any

from fedskew.components.completed import Completed
from fedskew.config import Execution
from fedskew.errors import FedskewError
from fedskew.runs.events import Ended, Event, Reporter, RoundDone, Started
from fedskew.runs.folder import RunFolder
from fedskew.trackers.tracking import TrackedRun, tracking


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker process is set up with.

    Attributes:
        execution: where data lies, the device, the engine.
        plugins: prefixes of modules that a config may name components of.
        trackers: as for ``--track``; each run gets its own.
    """

    execution: Execution
    plugins: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One run to do.

    Attributes:
        tracked: what trackers are told of it.
        relatives: folders of runs that it may continue from (``runs.execute``); it waits while one is worked on.
    """

    folder: RunFolder
    run: Completed
    tracked: TrackedRun | None = None
    relatives: tuple[RunFolder, ...] = ()


def run_all(
    tasks: Sequence[Task], jobs: int, setup: WorkerSetup, observe: Callable[[Event], None]
) -> dict[int, str]:
    """Do all tasks, ``jobs`` at a time.

    Args:
        observe: called in this process with every event.

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
                workers.append(_Worker(setup))
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

    def __init__(self, setup: WorkerSetup) -> None:
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, setup, os.getpid()), daemon=True
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
    except ValueError:  # not in the main thread, which alone gets Ctrl-C
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


def _serve(pipe: Connection, setup: WorkerSetup, parent: int) -> None:
    """A worker's life: takes tasks until the pipe closes."""
    _die_with(parent)

    import torch

    from fedskew.components.registry import allow_plugin  # lazy: after _die_with, like all that takes time
    from fedskew.runs.execute import crashed, execute  # lazy: brings PyTorch

    torch.set_num_threads(1)
    for prefix in setup.plugins:
        allow_plugin(prefix)
    cache: dict[str, Any] = {}
    while True:
        try:
            number, task = pipe.recv()
        except EOFError:
            return
        pipe.send(Started(number))
        reporter = Reporter(
            pipe.send, number
        )  # fails with BrokenPipeError if the parent is gone: ends the run
        try:
            data = _data(task, setup.execution, cache)
            with tracking(setup.trackers, task.tracked) as more:
                execute(task.folder, task.run, setup.execution, [reporter, *more], data, task.relatives)
            error = None
        except FedskewError as problem:
            error = str(problem)
        except BrokenPipeError:
            return
        except Exception as problem:
            error = str(crashed(problem, task.folder))
        pipe.send(Ended(number, reporter.rounds, error))


def _data(task: Task, execution: Execution, cache: dict[str, Any]) -> Any:
    """The task's data set; the last one is kept, since the runs of a study mostly share it."""
    from fedskew.federation.world import load_data  # lazy: brings PyTorch

    key = task.run.experiment.data.model_dump_json()
    if key not in cache:
        cache.clear()
        cache[key] = load_data(task.run.experiment, execution)
    return cache[key]


def _die_with(parent: int) -> None:
    """Asks Linux to kill this process when its parent dies, so that no orphan holds a lock."""
    if sys.platform != "linux":
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
