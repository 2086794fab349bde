"""Where a run was done: versions, machine, commit. Kept with its records, and no part of its result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fedskew


def describe(engine: str, device: str, workers: int) -> dict[str, Any]:
    """Versions, processor, device, threads, commit and time, as JSON-friendly values."""
    import numpy
    import torch

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "fedskew": importlib.metadata.version("fedskew"),
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "engine": engine,
        "device": _device_name(device),
        "workers": workers,
    }


def _device_name(device: str) -> str:
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of the source tree that fedskew runs from, ``+changes`` if it was edited; None if it has none."""
    root = Path(fedskew.__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        # An installed package may lie inside some other repository; only its own tracks this file.
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "--short=12", "HEAD") + (
            "+changes" if git("status", "--porcelain", ".") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return None
