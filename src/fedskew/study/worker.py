"""What a worker does: a run, whose rounds it reports; and the life of a worker process, which takes runs from a pipe.

This is what workers are forked from (``fedskew.study.pool``), so everything that takes time to import is imported here.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import torch

from fedskew.components.binding import check_experiment
from fedskew.components.permission import allow_plugin
from fedskew.components.process import isolated
from fedskew.config import Execution
from fedskew.errors import FedskewError, HeldError
from fedskew.federation.world import load_data
from fedskew.runs.events import Ended, Event, Held, Reporter, Started
from fedskew.runs.execute import crashed, execute
from fedskew.study.tasks import Task, WorkerSetup
from fedskew.trackers.tracking import tracking
from fedskew.wording import log_visibly


def serve(pipe: Connection, setup: WorkerSetup, environment: Mapping[str, str]) -> None:
    """Takes tasks until the pipe closes.

    Args:
        pipe: gives (number, task) and takes events.
        environment: the parent's variables, which may have changed since the process that this one was forked from
            began.
    """
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    log_visibly()
    be_ready(setup)
    cache: dict[str, Any] = {}
    with suppress(BrokenPipeError):  # the parent is gone: this ends the run
        while True:
            try:
                number, task = pipe.recv()
            except EOFError:
                return
            do(number, task, setup, cache, pipe.send)


def be_ready(setup: WorkerSetup) -> None:
    """Prepares a process for the runs of a study: one thread each, and the plug-ins that may be imported."""
    torch.set_num_threads(1)
    for prefix in setup.plugins:
        allow_plugin(prefix)


def do(
    number: int, task: Task, setup: WorkerSetup, cache: dict[str, Any], send: Callable[[Event], None]
) -> None:
    """Does a run, which leaves the process as it was; its last event is ``Ended`` or ``Held``.

    Args:
        number: what its events call it.
        cache: keeps the data set for the next run of the same process.
        send: takes the events; if it raises ``BrokenPipeError``, the run is interrupted.
    """
    reporter = Reporter(send, number)
    over: Event
    try:
        check_experiment(task.run.experiment)  # first: what it imports stays, with what that has changed
        with isolated():
            data = _data(task, setup.execution, cache)
            with tracking(setup.trackers, task.tracked) as more:
                done = execute(
                    task.folder,
                    task.run,
                    setup.execution,
                    [reporter, *more],
                    data,
                    task.relatives,
                    begun=lambda: send(Started(number)),
                )
        over = Ended(number, done.rounds, None)
    except HeldError:
        over = Held(number)
    except FedskewError as problem:
        over = Ended(number, reporter.rounds, str(problem))
    except BrokenPipeError:
        raise
    except Exception as problem:
        over = Ended(number, reporter.rounds, str(crashed(problem, task.folder)))
    send(over)


def _data(task: Task, execution: Execution, cache: dict[str, Any]) -> Any:
    """The task's data set; the last one is kept, since the runs of a study mostly share it."""
    key = task.run.experiment.data.model_dump_json()
    if key not in cache:
        cache.clear()
        cache[key] = load_data(task.run.experiment, execution)
    return cache[key]


def _die_with_parent() -> None:
    """Ends this process when its parent dies, in the middle of a run too, so that no orphan holds a lock."""
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
