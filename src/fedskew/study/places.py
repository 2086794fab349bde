"""Where runs can be done, and what is asked for with ``--on``."""

from __future__ import annotations

import importlib.util
import re

from fedskew.errors import ConfigError, unknown
from fedskew.study.agenda import Place
from fedskew.study.pool import run_all
from fedskew.study.ray_cluster import RayCluster

PLACES = ("ray",)
"""Besides processes of this machine."""

GPU_SHARE = 0.25
"""Of a GPU, for each run: as many share one as on a single machine (``config.default_jobs``)."""


def find_place(on: str | None, device: str = "cpu", gpu_share: float | None = None) -> Place:
    """The place that ``--on NAME[=ADDRESS]`` means; processes of this machine if it is None.

    Args:
        device: what the runs are to train on.
        gpu_share: of a GPU, for each run; None for the default.

    Raises:
        ConfigError: there is no such place, what it needs is not installed, or the other options do not fit it.
    """
    if gpu_share is not None and (on is None or device == "cpu"):
        raise ConfigError("--gpu-share is for runs on the GPUs of a cluster", "add --on ray --device cuda")
    if on is None:
        return run_all
    name, equals, address = on.partition("=")
    if name not in PLACES:
        message, hint = unknown("place", name, PLACES)
        raise ConfigError(f"--on {on}: {message}", hint)
    if equals and not address:
        raise ConfigError(
            f"--on {on}: the value after `=` is empty; expected {name}=ADDRESS", f"`--on {name}`"
        )
    if equals and not re.fullmatch(r"[^:/\s]+:\d{1,5}", address):
        raise ConfigError(
            f"--on {on}: expected the address of a cluster that this machine is part of, HOST:PORT",
            "start fedskew on one of its machines, which has the study's folder anyway",
        )
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "--on ray needs ray, not installed in this environment", '`pip install "ray>=2.10"`'
        )
    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"--device {device} with --on ray: the cluster chooses the GPU of each run", "`--device cuda`"
        )
    share = 0.0 if device == "cpu" else GPU_SHARE if gpu_share is None else gpu_share
    return RayCluster(address or None, share)
