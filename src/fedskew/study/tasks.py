"""What workers are asked to do, and what they are set up with."""

from __future__ import annotations

from dataclasses import dataclass

from fedskew.components.completed import Completed
from fedskew.config import Execution
from fedskew.runs.folder import RunFolder
from fedskew.trackers.tracking import TrackedRun


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
