"""A small study as a process of its own, and what must be the same bytes wherever its runs are done."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fedskew.runs.folder import RunFolder

STUDY = """
name = "mine"
seeds = [0, 1]
[base]
rounds = 80
data = "digits"
split = "dirichlet"
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
stopping = "rounds"
training = { epochs = 1, batch_size = 128 }
[axes.alpha]
field = "split.alpha"
values = [1.0, 0.3]
"""
SAME: tuple[str, ...] = (
    "rounds.jsonl",
    "weights.safetensors",
    "checkpoint.safetensors",
    "result.json",
    "config.toml",
)
SAME += ("clients.json",)


def begin(folder: Path, out: str, *options: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    """``fedskew study mine.toml`` in a folder."""
    command = [sys.executable, "-m", "fedskew", "study", "mine.toml", "--out", out, "--engine", "torch"]
    return subprocess.Popen(
        [*command, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Its output and what it said, when it is done."""
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out, err


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def bytes_of(study: Path) -> dict[str, bytes]:
    """All that must be the same, by its path in the study's folder."""
    files = [run.path / name for run in RunFolder.all_below(study) for name in SAME]
    return {str(file.relative_to(study)): file.read_bytes() for file in files}
