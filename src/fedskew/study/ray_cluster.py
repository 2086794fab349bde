"""Runs on a Ray cluster, each a task with a core and perhaps a share of a GPU of its own: ``--on ray[=ADDRESS]``.

Ray finds the room, starts and watches processes, and notices that a machine is gone. That runs survive it is not its
doing: a run's records and checkpoint are in the study's folder, so a run whose worker died is given again and resumes
there, like one that was killed here. If that worker only seemed to be dead, its lock keeps the run from being doubled.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from fedskew.errors import RunError
from fedskew.runs.events import Ended, Event, Held, RoundDone
from fedskew.study.agenda import Enough, Observe, do_all
from fedskew.study.remote import Origin, events_of, origin_here
from fedskew.study.tasks import Task, WorkerSetup

_log = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds for a cluster to answer."""

STORE = 100 * 2**20
"""Bytes of shared memory of a new cluster, by default a third of the machine's: only events are sent."""

DEATHS = 3
"""So many deaths of a run's workers, without a new round between them, are its own fault."""


@dataclass(frozen=True)
class RayCluster:
    """A place to run.

    Attributes:
        address: of the cluster; None for that of ``RAY_ADDRESS``, which Ray sets inside its jobs, or else for a new
            cluster of this machine alone.
        gpu_share: of a GPU, for each run.
    """

    address: str | None = None
    gpu_share: float = 0.0

    def __call__(
        self, tasks: Sequence[Task], jobs: int | None, setup: WorkerSetup, observe: Observe, enough: Enough, /
    ) -> dict[int, str]:
        """Does all tasks: see ``fedskew.study.agenda.Place``.

        Raises:
            RunError: no cluster answers.
        """
        with ExitStack() as closing:
            ray = _connected(self.address, closing)
            origin = closing.enter_context(origin_here(tasks[0].folder.path.parent))
            return do_all(tasks, _Crew(ray, jobs, self.gpu_share, setup, origin), observe, enough)


def _connected(address: str | None, closing: ExitStack) -> Any:
    """Ray, with a connection to a cluster, which ends with the stack unless it was there before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a new cluster: it reports to nobody
    import ray

    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    new = {"object_store_memory": STORE} if address == "local" else {}
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdigit():  # first: Ray would try for minutes
            socket.create_connection((host, int(port)), TIMEOUT).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False, **new)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = next(iter(str(error).splitlines()), repr(error))
        raise RunError(
            f"no Ray cluster answers at {address}: {reason}",
            "`ray start --head` starts one and prints its address",
        ) from None
    closing.callback(ray.shutdown)
    return ray


class _Crew:
    """Workers of a cluster.

    Args:
        ray: the module, connected.
        jobs: runs at a time; None for as many as the cluster has room for.
    """

    def __init__(
        self, ray: Any, jobs: int | None, gpu_share: float, setup: WorkerSetup, origin: Origin
    ) -> None:
        self._ray, self._jobs, self._setup, self._origin = ray, jobs, setup, origin
        needs = {"num_cpus": 1, "num_gpus": gpu_share, "max_retries": 0, "num_returns": "streaming"}
        self._remote = ray.remote(**needs)(_events)
        self._tasks: dict[int, Task] = {}
        self._streams: dict[int, Any] = {}
        self._furthest: dict[int, int] = {}
        self._deaths: dict[int, int] = {}
        self._room = self._find_room()

    def has_room(self) -> bool:
        return len(self._streams) < self._room

    def give(self, number: int, task: Task) -> None:
        self._tasks[number] = task
        self._streams[number] = self._remote.remote(number, task, self._setup, self._origin)
        self._room = self._find_room()

    def wait(self, seconds: float | None) -> list[Event]:
        if not self._streams:
            time.sleep(seconds or 0.0)
            return []
        ready, _ = self._ray.wait(list(self._streams.values()), num_returns=1, timeout=seconds)
        numbers = [number for number, stream in self._streams.items() if any(stream is one for one in ready)]
        return [event for number in numbers for event in self._receive(number)]

    def stop(self) -> None:
        for stream in self._streams.values():
            self._ray.cancel(stream, force=True)

    def _receive(self, number: int) -> Iterator[Event]:
        try:
            said: Event | str = self._ray.get(next(self._streams[number]))
        except (
            self._ray.exceptions.RayTaskError
        ) as error:  # fedskew reports its own: this one is about the node
            yield self._over(Ended(number, 0, f"a node of the cluster cannot do it: {error.cause!r}"))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            yield from self._lost(number, type(error).__name__)
        else:
            if isinstance(said, str):
                _log.warning("%s", said)
                return
            if isinstance(said, RoundDone) and said.round > self._furthest.get(number, 0):
                self._furthest[number], self._deaths[number] = said.round, 0
            yield self._over(said) if isinstance(said, Ended | Held) else said

    def _lost(self, number: int, why: str) -> Iterator[Event]:
        """Gives a run again whose worker or machine is gone, unless that helps nothing."""
        self._deaths[number] = self._deaths.get(number, 0) + 1
        rounds, task = self._furthest.get(number, 0), self._tasks[number]
        if self._deaths[number] < DEATHS:
            _log.warning("%s: its worker died (%s); it is resumed on another", task.folder.path, why)
            self.give(number, task)
        else:
            error = f"its worker died {DEATHS} times in the same round ({why}, perhaps for lack of memory)"
            yield self._over(Ended(number, rounds, error, died=True))

    def _over(self, event: Ended | Held) -> Event:
        del self._streams[event.task]
        return event

    def _find_room(self) -> int:
        """How many runs to have given: more than there are cores now, so that a cluster that can grow does."""
        if self._jobs is not None:
            return self._jobs
        return 2 * int(self._ray.cluster_resources().get("CPU", 0)) + 16


def _events(number: int, task: Task, setup: WorkerSetup, origin: Origin) -> Iterator[Event | str]:
    yield from events_of(number, task, setup, origin)
