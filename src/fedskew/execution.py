"""How a run is done: where its data lies, on which device, with how many threads. It determines no result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EngineName = Literal["auto", "native", "torch"]


@dataclass(frozen=True)
class Execution:
    """What determines a run's speed and not its result.

    Attributes:
        data_dir: root of the data sets; None for ``$FEDSKEW_DATA`` or the user's cache folder.
        download: whether missing data may be fetched.
        device: a PyTorch device.
        workers: threads that train clients side by side; each uses one core.
        engine: ``"auto"`` takes native kernels where they can serve the model, else PyTorch's autograd. The two
            round differently, so a run that was begun with one is not continued with the other.
    """

    data_dir: Path | None = None
    download: bool = True
    device: str = "cpu"
    workers: int = 1
    engine: EngineName = "auto"


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
