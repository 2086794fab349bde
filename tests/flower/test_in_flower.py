"""The strategy inside Flower's own simulation, and the example."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flower_case import OwnServer

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("flwr", "ray")),
        reason="needs Flower's simulation: pip install 'flwr[simulation]'",
    ),
]
DEFENCES: dict[str, dict[str, Any]] = {
    "bucketing(size=2) + centered-clipping(tau=0.5) + momentum(beta=0.9)": {
        "defence": {
            "transforms": [{"name": "bucketing", "size": 2}],
            "aggregator": {"name": "centered-clipping", "tau": 0.5},
        },
        "server": {"step": {"name": "momentum", "beta": 0.9}},
    },
    "fednova + noise(std=0.01) + foolsgold + rlr(theta=3)": {
        "defence": {
            "transforms": ["fednova", {"name": "noise", "std": 0.01}],
            "aggregator": "foolsgold",
            "learning_rate": {"name": "rlr", "theta": 3},
        },
    },
}


@pytest.fixture
def run() -> Iterator[Callable[..., str]]:
    """Runs a Python file, which makes a Ray cluster of its own and joins none that is there."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # the paths of its sockets must be short
        yield functools.partial(_run, folder)


def _run(folder: str, *command: str | Path) -> str:
    paths = [str(ROOT / "src"), str(ROOT / "tests"), *(path for path in sys.path if path)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": "local",
        "RAY_TMPDIR": folder,
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("defence", DEFENCES)
def test_the_weights_are_those_of_a_runs_own_rounds_on_the_same_updates(
    defence: str, tmp_path: Path, run: Callable[..., str]
) -> None:
    run(ROOT / "tests" / "flower_recorded.py", defence, tmp_path)
    own = OwnServer(DEFENCES[defence], clients=5)
    for number in range(3):
        done = own.round(number, range(5)) if number else None
        found = np.load(tmp_path / f"{number}.npz")
        assert found.files == list(own.arrays)
        for name, array in own.arrays.items():
            assert found[name].dtype == array.dtype
            assert found[name].tobytes() == array.tobytes(), name
    metrics = np.load(tmp_path / "metrics.npz")
    assert metrics["fedskew clients"].tolist() == [0, 1, 2, 3, 4]
    assert done is not None
    if done.client_weights:
        assert metrics["fedskew client-weights"].tolist() == list(done.client_weights.values())


def test_the_example_learns_though_one_of_six_clients_attacks(run: Callable[..., str]) -> None:
    printed = run(ROOT / "examples" / "flower_app.py")
    accuracy = float(printed.partition("accuracy after 5 rounds: ")[2].partition(" %")[0])
    assert accuracy > 80
