"""How a run is done: where its data lies, on which device, with how many threads. It is not part of the experiment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fedskew.errors import ConfigError, unknown

EngineName = Literal["auto", "native", "torch", "stacked", "graph"]
ClientStatePlace = Literal["auto", "memory", "disk"]


@dataclass(frozen=True)
class Execution:
    """What determines a run's speed, and at most the rounding of its result (device and engine).

    Attributes:
        data_dir: root of the data sets; None for ``$FEDSKEW_DATA`` or the user's cache folder.
        download: whether missing data may be fetched.
        device: a PyTorch device.
        workers: threads that train clients side by side; each uses one core.
        engine: ``"auto"`` takes what is fastest for the model on the device (``fedskew.training.choose``). Engines
            round differently, so a run that was started with one is not resumed with another.
        client_state: where optimiser state that persists is kept between rounds: in memory and in every checkpoint, or
            one file per client in the run's folder; ``"auto"`` takes files where all clients together would
            exceed 64 MiB (``fedskew.federation.client_state``). It changes no result.
        checkpoint_every: seconds between the checkpoints of a run in a folder, at least; 0 for one after every round.
            A run that is killed does the rounds after its last checkpoint again, to the same bytes.

    Raises:
        ConfigError: there is no such engine or place, or a number is too small.

    >>> Execution(workers=2, engine="torch").device
    'cpu'
    """

    data_dir: Path | None = None
    download: bool = True
    device: str = "cpu"
    workers: int = 1
    engine: EngineName = "auto"
    client_state: ClientStatePlace = "auto"
    checkpoint_every: float = 1.0

    def __post_init__(self) -> None:
        for name, valid in (("engine", EngineName), ("client_state", ClientStatePlace)):
            if (value := getattr(self, name)) not in get_args(valid):
                raise ConfigError(*unknown(name, str(value), get_args(valid)))
        for name, least in (("workers", 1), ("checkpoint_every", 0)):
            if not getattr(self, name) >= least:  # true for NaN
                raise ConfigError(f"{name} = {getattr(self, name)}: expected at least {least}")


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def default_workers(device: str) -> int:
    """Threads to use within a run by default: the cores, or one on a device that does its own parallel work."""
    return available_cores() if device == "cpu" else 1


def default_jobs(device: str) -> int:
    """Runs of a study to do at once by default: one per core, or a few that share a device, so that one computes on it
    while another plans, aggregates or writes."""
    return available_cores() if device == "cpu" else min(4, available_cores())
