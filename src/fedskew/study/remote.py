"""A run on another machine, whatever brought it there: what the machine must share with this one, and the run's events.

The folder of the study must be the same one on every machine, under the same path: there a run keeps its records and
its checkpoint, from which it is resumed elsewhere when its machine is lost. This is checked before anything is written.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import queue
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedskew.errors import FedskewError
from fedskew.runs.events import Ended, Event, Held
from fedskew.study.tasks import Task, WorkerSetup

_log = logging.getLogger("fedskew")


@dataclass(frozen=True)
class Origin:
    """The process that has runs done elsewhere, as those machines must find it.

    Attributes:
        here: its current folder, to which relative paths belong.
        token: a file in the folder of runs that exists while they are done.
        version: of its fedskew.
        path: where it finds modules.
        variables: those of its environment that are fedskew's.
    """

    here: Path
    token: Path
    version: str
    path: tuple[str, ...]
    variables: Mapping[str, str]

    def enter(self) -> None:
        """Makes this process like that one.

        Raises:
            FedskewError: this machine lacks what the two must share.
        """
        where = f"on {platform.node()}"
        if (found := importlib.metadata.version("fedskew")) != self.version:
            raise FedskewError(
                f"fedskew is {found} {where}; expected {self.version}, as where the study began"
            )
        try:
            os.chdir(self.here)
            self.token.stat()
        except OSError:
            raise FedskewError(
                f"{self.token.parent} {where} is not the folder of the process that began the study",
                "put the study on a file system that all machines mount at the same path (docs/scale.md)",
            ) from None
        sys.path += [place for place in self.path if place not in sys.path]
        os.environ.update(self.variables)


@contextmanager
def origin_here(runs: Path) -> Iterator[Origin]:
    """What other machines need to know of this process.

    Args:
        runs: the folder of the runs' folders.
    """
    token = runs.absolute() / f"~{uuid.uuid4().hex}"  # "~": no run of the study
    variables = {name: value for name, value in os.environ.items() if name.startswith("FEDSKEW_")}
    token.parent.mkdir(parents=True, exist_ok=True)
    token.touch()
    try:
        yield Origin(
            Path.cwd(), token, importlib.metadata.version("fedskew"), tuple(filter(None, sys.path)), variables
        )
    finally:
        token.unlink(missing_ok=True)


_CACHE: dict[str, Any] = {}
"""The data set of the last run of this process."""


def events_of(number: int, task: Task, setup: WorkerSetup, origin: Origin) -> Iterator[Event | str]:
    """Do a run in this process, and tell of it while it is done: its events, and what was logged as a warning."""
    told: queue.SimpleQueue[Event | str] = queue.SimpleQueue()
    thread = threading.Thread(target=_do, args=(number, task, setup, origin, told), daemon=True)
    thread.start()
    while True:
        said = told.get()
        yield said
        if isinstance(said, Ended | Held):
            thread.join()
            return


def _do(
    number: int, task: Task, setup: WorkerSetup, origin: Origin, told: queue.SimpleQueue[Event | str]
) -> None:
    warnings = _Warnings(told)
    _log.addHandler(warnings)
    try:
        origin.enter()
        from fedskew.study import worker  # lazy: brings PyTorch, which the other process need not have

        worker.be_ready(setup)
        worker.do(number, task, setup, _CACHE, told.put)
    except (
        BaseException
    ) as error:  # a plug-in's ``SystemExit`` too: without a last event this would be waited for
        told.put(Ended(number, 0, str(error) or repr(error)))
    finally:
        _log.removeHandler(warnings)


class _Warnings(logging.Handler):
    """Puts the text of warnings among the events."""

    def __init__(self, told: queue.SimpleQueue[Event | str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.put(record.getMessage())
