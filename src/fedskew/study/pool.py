"""Runs on local processes, one thread each. A run that fails or whose process dies does not stop the others.

Workers live for many runs, report each round over a pipe, and die with this process. On Linux they are forked from a
process that has imported what they need (a fork server), so a worker starts in milliseconds and shares that memory with
the others; elsewhere each imports it.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType

from fedskew.config import default_jobs
from fedskew.errors import RunError
from fedskew.runs.events import Ended, Event, Held, RoundDone
from fedskew.study.agenda import Enough, Observe, do_all
from fedskew.study.tasks import Task, WorkerSetup

FORKED = sys.platform == "linux"


def warm_up() -> None:
    """Begin to import what workers need, in the process that they are forked from, while this one does other work.

    Raises:
        RunError: the path of the folder for temporary files is too long for a socket.
    """
    if not FORKED:
        return
    forkserver.set_forkserver_preload(["fedskew.study.worker"])
    try:
        with _without_main(), _ctrl_c_ignored():
            forkserver.ensure_running()
    except OSError as error:
        if error.errno is not None:  # not Python's own, of a path that does not fit into an address
            raise
        raise RunError(
            f"worker processes cannot be begun: the path of the folder for temporary files, {tempfile.gettempdir()}, "
            "is too long for a socket in it",
            "let TMPDIR name a folder with a shorter path",
        ) from None


def run_all(
    tasks: Sequence[Task],
    jobs: int | None,
    setup: WorkerSetup,
    observe: Observe,
    enough: Enough = lambda ended: False,
) -> dict[int, str]:
    """Do all tasks, ``jobs`` at a time, the cores if None; else as ``fedskew.study.agenda.Place`` says."""
    return do_all(tasks, _Processes(jobs or default_jobs(setup.execution.device), setup), observe, enough)


class _Processes:
    """A crew of processes of this machine; each begins when there is the first task for it."""

    def __init__(self, jobs: int, setup: WorkerSetup) -> None:
        self._jobs, self._setup = jobs, setup
        self._workers: list[_Worker] = []

    def has_room(self) -> bool:
        return len(self._at_work()) < self._jobs

    def give(self, number: int, task: Task) -> None:
        self._workers = [w for w in self._workers if w.task is not None or w.process.is_alive()]
        worker = next((w for w in self._workers if w.task is None), None)
        if worker is None:
            worker = _Worker(self._setup)
            self._workers.append(worker)
        worker.give(number, task)

    def wait(self, seconds: float | None) -> list[Event]:
        workers = self._at_work()
        if not workers:
            time.sleep(seconds or 0.0)
            return []
        ready = wait([worker.pipe for worker in workers], seconds)
        return [worker.receive() for worker in workers if worker.pipe in ready]

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()

    def _at_work(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, setup: WorkerSetup) -> None:
        warm_up()
        context = mp.get_context("forkserver") if FORKED else mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, setup, dict(os.environ)), daemon=True
        )
        with _without_main(), _ctrl_c_ignored():
            self.process.start()
        theirs.close()
        self.task: int | None = None
        self.rounds = 0

    def give(self, number: int, task: Task) -> None:
        self.task, self.rounds = number, 0
        with suppress(BrokenPipeError):  # it died while idle: receive() will find out and say so
            self.pipe.send((number, task))

    def receive(self) -> Event:
        number = self.task
        assert number is not None
        try:
            event: Event = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            error = f"its process died ({_exit(self.process.exitcode)})"
            event = Ended(number, self.rounds, error, died=True)
        if isinstance(event, RoundDone):
            self.rounds = event.round
        if isinstance(event, Ended | Held):
            self.task = None
        return event

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, setup: WorkerSetup, environment: Mapping[str, str]) -> None:
    from fedskew.study.worker import serve  # lazy: brings PyTorch, which this process need not have

    serve(pipe, setup, environment)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that are started import no ``__main__``, of which they need nothing: a script that calls for workers
    without asking whether it is ``__main__`` would do so again in each of them, and a notebook has none."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


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
