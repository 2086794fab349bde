"""The life of a worker process: takes runs from a pipe and does them, and reports each round.

This is what workers are forked from (``fedskew.study.pool``), so everything that takes time to import is imported here.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch

from fedskew.components.permission import allow_plugin
from fedskew.config import Execution
from fedskew.errors import FedskewError
from fedskew.federation.world import load_data
from fedskew.runs.events import Ended, Reporter, Started
from fedskew.runs.execute import crashed, execute
from fedskew.study.tasks import Task, WorkerSetup
from fedskew.trackers.tracking import tracking


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
