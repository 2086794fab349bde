"""How runs are done, as it is asked for. Imports nothing that takes time, for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedskew.errors import ConfigError

if TYPE_CHECKING:
    from fedskew.config import ClientStatePlace, EngineName, Execution
    from fedskew.runs.folder import RunFolder


@dataclass(frozen=True)
class How:
    """How the runs of a study, or a single run, are done.

    Attributes:
        extend: folders of runs whose rounds they may continue from, besides the study's own.
        on, gpu_share: where to run (``study.places``).
        shard: which part of the runs (``study.shard``).
        reuse: studies whose complete runs are taken (``study.reuse``).

    Raises:
        ConfigError: ``jobs`` is below 1.
    """

    jobs: int | None = None
    device: str = "cpu"
    engine: EngineName = "auto"
    client_state: ClientStatePlace = "auto"
    checkpoint_every: float = 1.0
    data_dir: Path | None = None
    offline: bool = False
    plugins: Sequence[str] = ()
    trackers: Sequence[str] = ()
    quiet: bool = False
    extend: Sequence[RunFolder] = ()
    on: str | None = None
    gpu_share: float | None = None
    shard: str | None = None
    reuse: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"jobs = {self.jobs}: expected at least 1")

    def execution(self, workers: int) -> Execution:
        """The same for one run, with so many threads."""
        from fedskew.config import Execution  # lazy: brings pydantic

        return Execution(
            self.data_dir,
            not self.offline,
            self.device,
            workers,
            self.engine,
            self.client_state,
            self.checkpoint_every,
        )
