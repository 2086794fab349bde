"""How a run is done: where its data lies, on which device, with how many threads. It is no part of the experiment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EngineName = Literal["auto", "native", "torch"]
ClientStatePlace = Literal["auto", "memory", "disk"]


@dataclass(frozen=True)
class Execution:
    """What determines a run's speed, and at most the rounding of its result (device and engine).

    Attributes:
        data_dir: root of the data sets; None for ``$FEDSKEW_DATA`` or the user's cache folder.
        download: whether missing data may be fetched.
        device: a PyTorch device.
        workers: threads that train clients side by side; each uses one core.
        engine: ``"auto"`` takes native kernels where they can serve the model, else PyTorch's autograd. The two
            round differently, so a run that was begun with one is not continued with the other.
        client_state: where optimiser state that persists is kept between rounds: in memory and in every checkpoint, or
            one file per client below the run's folder; ``"auto"`` takes files where all clients together would
            exceed 64 MiB (``fedskew.client_state``). It changes no result.
    """

    data_dir: Path | None = None
    download: bool = True
    device: str = "cpu"
    workers: int = 1
    engine: EngineName = "auto"
    client_state: ClientStatePlace = "auto"


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def default_workers(device: str) -> int:
    """Threads or processes to use unless told: the cores, or one on a device that does its own parallel work."""
    return available_cores() if device == "cpu" else 1
